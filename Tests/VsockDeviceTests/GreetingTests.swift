import Testing

@testable import VsockDevice

@Suite("The first line of a host program")
struct GreetingTests {
  private func read(_ line: String, _ count: Int = .max, isWhole: Bool = false) -> VsockGreeting {
    VsockGreeting(Array(line.utf8.prefix(count)), isWhole: isWhole)
  }

  @Test(
    "Blanks may be anywhere but within the words, as Firecracker takes them",
    arguments: [
      "CONNECT 52\n", "connect 52\n", "CONNECT 52\r\n", "CONNECT 52 \n", "CONNECT   52\n", " \tConnect\t52\t \r\n",
      "CONNECT 0000000000000000000052\n",
    ])
  func blanks(_ line: String) {
    #expect(read(line) == .connect(port: 52, length: line.utf8.count))
    #expect(read(line, isWhole: true) == .connect(port: 52, length: line.utf8.count))
    #expect(read(line + "x") == .connect(port: 52, length: line.utf8.count))
    #expect(read(line + "x", isWhole: true) == .wrong)
    for length in 0..<line.utf8.count { #expect(read(line, length) == .incomplete, "the first \(length)") }
  }

  @Test(
    "Anything else is wrong, as soon as that can be said",
    arguments: [
      "\n", " \n", "CONNECT\n", "CONNECT \n", "CONNECT52\n", "CON NECT 52\n", "CONNECT 5 2\n", "CONNECT 52 x\n", "CONNECT +52\n",
      "CONNECT 4294967295\n",
      "CONNECT 4294967296", "CONNECT 5x", "CONNECT 5 2", "CON ", "CONNECTS", "GET /", "CONNECT \u{a0}52\n",
    ])
  func wrong(_ line: String) { #expect(read(line) == .wrong) }

  @Test("A line is at most as long as Firecracker takes it")
  func length() {
    let line = "CONNECT " + String(repeating: " ", count: VsockGreeting.longest - 11) + "52\n"
    #expect(line.utf8.count == VsockGreeting.longest && read(line) == .connect(port: 52, length: VsockGreeting.longest))
    #expect(read(String(repeating: " ", count: VsockGreeting.longest - 1)) == .incomplete)
    #expect(read(String(repeating: " ", count: VsockGreeting.longest)) == .wrong)
  }
}
