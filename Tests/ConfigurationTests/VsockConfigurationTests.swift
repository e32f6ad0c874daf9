import Testing
import VsockDevice

struct VsockConfigurationTests {
  @Test(arguments: [0, 1, 2, UInt32.max])
  func reservedContextsAreRefused(context: UInt32) {
    #expect(throws: VsockConfigurationError.reservedContext(context)) { try VsockConfiguration(context: context).validate() }
  }

  @Test func aPortMustFitAfterThePath() throws(VsockConfigurationError) {
    let longest = String(repeating: "x", count: VsockConfiguration.longestPath)
    try VsockConfiguration(context: 3, backend: .socket(path: longest)).validate()
    #expect((longest + "_4294967295").utf8.count == 107 && (longest + VsockSockets.sequencedSuffix).utf8.count <= 107)
    #expect(throws: VsockConfigurationError.pathTooLong(longest + "x")) {
      try VsockConfiguration(context: 3, backend: .socket(path: longest + "x")).validate()
    }
  }

  @Test(arguments: ["", "a\0b"])
  func pathsThatNameNothingAreRefused(path: String) {
    for backend in [VsockConfiguration.Backend.socket(path: path), .kernel(path: path)] {
      #expect(throws: VsockConfigurationError.badPath(path)) { try VsockConfiguration(context: 3, backend: backend).validate() }
    }
  }
}
