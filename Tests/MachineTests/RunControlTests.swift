import Platform
import Testing

@testable import Machine

@Suite("How a run ends")
struct RunControlTests {
  @Test("the first outcome wins")
  func firstWins() throws {
    let control = try RunControl()
    #expect(control.mayRun)
    #expect(control.outcome == nil)
    control.end(.reset)
    control.end(.crashed("later"))
    #expect(control.outcome == .reset)
    #expect(!control.mayRun)
    #expect(control.ended.drain() == 1)
  }
}
