import Testing
import VirtioTesting

@Suite struct PCITransportFuzzTests {
  @Test func randomGuestsBreakNoPromiseOfTheTransport() {
    var generator = SystemRandomNumberGenerator()
    for round in 0..<300 {
      fuzzPCITransport((0..<(16 + round)).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
    }
  }

  @Test func aGuestThatDoesNothingFindsNothingLeft() { fuzzPCITransport([]) }
}
