import Glibc
import Testing

@testable import Platform

/// Lines for a log daemon, of which the test is one.
@Suite struct SystemLogTests {
  private let folder: String
  private let daemon: DescriptorBox

  init() throws {
    var template = Array("/tmp/system-log-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw SystemError.last("make a directory") }
    folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    daemon = DescriptorBox(try UnixSocket.listen(at: folder + "/log", kind: .datagram))
  }

  private func forget() {
    unsafe _ = unlink(folder + "/log")
    unsafe _ = rmdir(folder)
  }

  /// What comes behind the tag.
  private func line() -> String {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = unsafe recv(daemon.number, &bytes, bytes.count, 0)
    let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    return String(text.drop { $0 != " " }.dropFirst())
  }

  @Test(arguments: [
    (Array("plain\ttext ü€😀".utf8), "plain\ttext ü€😀"), ([0x1b, 0x5b, 0x0a, 0x7f], "?[??"),
    // The second set of control characters, as UTF-8 and as bytes of their own; a sequence that ends too early.
    ([0xc2, 0x9b, 0x41, 0x9b, 0x42, 0xe2, 0x82], "?A?B?"),
  ])
  func controlCharactersAreReplaced(bytes: [UInt8], expected: String) throws {
    defer { forget() }
    try SystemLog(tag: "test", path: folder + "/log").write(bytes)
    #expect(line() == expected)
  }

  @Test func theLastLineNeedsNoEnd() throws {
    defer { forget() }
    let output = try BufferedOutput(
      name: "log", drain: SystemLogDrain(log: try SystemLog(tag: "test", path: folder + "/log"))
    ) { Issue.record("\($0)") }
    try output.start()
    _ = output.write(Array("whole\nKernel panic - not".utf8))
    output.finish(milliseconds: 10_000)
    #expect(line() == "whole")
    #expect(line() == "Kernel panic - not")
  }
}
