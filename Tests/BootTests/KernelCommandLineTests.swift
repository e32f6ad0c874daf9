import GuestMemory
import Testing

@testable import Boot

@Suite("The kernel command line")
struct KernelCommandLineTests {
  @Test("parts are joined by spaces; an empty part adds nothing")
  func joining() throws {
    var line = KernelCommandLine()
    #expect(line.description.isEmpty)
    for part in ["console=ttyS0", "", "reboot=k panic=-1", "init=/bin/sh -- a\"b"] { try line.append(part) }
    #expect(line.description == "console=ttyS0 reboot=k panic=-1 init=/bin/sh -- a\"b")
    #expect(line.count == line.description.utf8.count)
  }

  @Test(
    "what is not printable ASCII is refused with its position, and the line stays as it was",
    arguments: [("a\0b", 0, 1), ("quiet\n", 10, 5), ("\u{7f}", 0x7f, 0), ("r=ä", 0xc3, 2)] as [(String, UInt8, Int)])
  func characters(part: String, byte: UInt8, position: Int) throws {
    var line = KernelCommandLine()
    try line.append("ok")
    #expect(throws: BootError.commandLine(.badCharacter(byte: byte, position: position, part: part))) { try line.append(part) }
    #expect(line.description == "ok")
  }

  @Test("messages show no control characters")
  func message() {
    let problem = CommandLineProblem.badCharacter(byte: 27, position: 1, part: "a\u{1b}b")
    #expect(problem.description == "byte 0x1b at position 1 of \"a?b\"; use printable ASCII characters only")
  }

  @Test("the longest line that the kernel reads fits, a longer one does not")
  func length() throws {
    let guest = try GuestFixture()
    var kernel = BzImageFixture()
    kernel.commandLineSize = 10
    _ = try guest.prepare(kernel.bytes, commandLine: String(repeating: "x", count: 10))
    #expect(try guest.bytes(11, at: 0x20000) == [UInt8](repeating: 0x78, count: 10) + [0])
    #expect(throws: BootError.commandLine(.tooLong(bytes: 11, maximum: 10))) {
      try guest.prepare(kernel.bytes, commandLine: String(repeating: "x", count: 11))
    }
    #expect(throws: BootError.commandLine(.tooLong(bytes: 2048, maximum: 2047))) {
      try guest.prepare(ELFFixture().bytes, commandLine: String(repeating: "x", count: 2048))
    }
  }

  @Test("a kernel that claims to read any length gets no more than its place holds")
  func boundedByPlace() throws {
    let guest = try GuestFixture()
    var kernel = BzImageFixture()
    kernel.commandLineSize = .max
    _ = try guest.prepare(kernel.bytes, commandLine: String(repeating: "x", count: 0xffff))
    #expect(throws: BootError.commandLine(.tooLong(bytes: 0x10000, maximum: 0xffff))) {
      try guest.prepare(kernel.bytes, commandLine: String(repeating: "x", count: 0x10000))
    }
  }
}
