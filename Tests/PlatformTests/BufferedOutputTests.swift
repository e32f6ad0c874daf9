import Glibc
import Synchronization
import Testing

@testable import Platform

/// An output whose writer runs.
private func started(_ target: OutputTarget, onError: @escaping @Sendable (SystemError) -> Void = { _ in }) throws -> BufferedOutput {
  let output = try target.makeOutput(onError: onError)
  try output.start()
  return output
}

@Suite struct BufferedOutputTests {
  @Test func bytesArriveInOrderAndFinishWaitsForThem() throws {
    let pipe = try TestPipe()
    let output = try started(OutputTarget(descriptor: pipe.writeEnd.duplicate()))
    for byte in "hello, ".utf8 { #expect(output.write(byte)) }
    #expect(output.write(Array("world".utf8)))
    output.finish(milliseconds: 5000)
    #expect(pipe.readAvailable() == Array("hello, world".utf8))
  }

  @Test func aReaderThatDoesNotReadMakesNoRoomThenBytesAreDroppedAndMemoryStaysBounded() throws {
    let pipe = try TestPipe()
    let output = try started(OutputTarget(descriptor: pipe.writeEnd.duplicate()))
    let room = Atomic<Int>(0)
    output.onRoom { room.add(1, ordering: .relaxed) }
    var said = true
    var accepted = 0
    while said {
      said = output.write(UInt8(truncatingIfNeeded: accepted))
      accepted += 1
      try #require(accepted < 1 << 20)
    }
    // The pipe, a batch on its way, and the buffer.
    #expect(accepted <= (64 << 10) + 2 * BufferedOutput.hardLimit)
    for _ in 0..<200_000 { _ = output.write(0xee) }
    #expect(output.droppedBytes > 0)
    // Reading again makes room, and what was taken before is whole.
    var read: [UInt8] = []
    let deadline = monotonicNanoseconds() + 10_000_000_000
    while read.count < accepted, monotonicNanoseconds() < deadline { read += pipe.readAvailable() }
    #expect(read.prefix(accepted).enumerated().allSatisfy { $1 == UInt8(truncatingIfNeeded: $0) })
    while room.load(ordering: .relaxed) == 0, monotonicNanoseconds() < deadline { read += pipe.readAvailable() }
    #expect(room.load(ordering: .relaxed) == 1)
    output.finish(milliseconds: 0)
  }

  @Test func finishGivesUpOnAStuckReaderInTime() throws {
    let pipe = try TestPipe()
    let output = try started(OutputTarget(descriptor: pipe.writeEnd.duplicate()))
    while output.write(1) {}
    let start = monotonicNanoseconds()
    output.finish(milliseconds: 50)
    output.finish(milliseconds: 50)
    #expect(monotonicNanoseconds() - start < 5_000_000_000)
    #expect(output.write(1), "a finished output takes and forgets")
  }

  @Test func aGoneReaderIsToldOnceAndEndsNothing() throws {
    let errors = Mutex<[SystemError]>([])
    let gone: BufferedOutput
    do {
      let pipe = try TestPipe()
      gone = try started(OutputTarget(descriptor: pipe.writeEnd.duplicate())) { error in errors.withLock { $0.append(error) } }
    }
    for _ in 0..<3 {
      _ = gone.write(1)
      usleep(5000)
    }
    gone.finish(milliseconds: 5000)
    #expect(errors.withLock { $0 } == [SystemError("write the guest's output", code: EPIPE)])
  }

  @Test func aFileIsMadeAndAddedTo() throws {
    let directory = try TestDirectory()
    let path = directory.path + "/log"
    for word in ["one", "two"] {
      let output = try started(.file(path))
      _ = output.write(Array(word.utf8))
      output.finish(milliseconds: 5000)
    }
    #expect(try directory.read("log") == Array("onetwo".utf8))
    #expect(throws: SystemError("open \(directory.path)", code: EISDIR)) { try OutputTarget.file(directory.path) }
    #expect(throws: SystemError("open /nonexistent/log", code: ENOENT)) { try OutputTarget.file("/nonexistent/log") }
  }

  @Test func aFIFOWithoutReaderDoesNotHoldUpTheStart() throws {
    let directory = try TestDirectory()
    let path = directory.path + "/fifo"
    #expect(unsafe mkfifo(path, 0o600) == 0)
    let output = try started(.file(path))
    _ = output.write(Array("early".utf8))
    let reader = try OwnedDescriptor.open(path, flags: O_RDONLY)
    #expect(readSome(reader.number) == Array("early".utf8))
    output.finish(milliseconds: 1000)
  }

  @Test func datagramsReachAReceiverThatCameBack() throws {
    let directory = try TestDirectory()
    let path = directory.path + "/socket"
    let first = try UnixSocket.listen(at: path, kind: .datagram)
    let output = try started(.datagramSocket(path))
    _ = output.write(Array("one".utf8))
    #expect(readSome(first.number) == Array("one".utf8))
    _ = consume first
    unsafe unlink(path)
    let second = try UnixSocket.listen(at: path, kind: .datagram)
    _ = output.write(Array("two".utf8))
    #expect(readSome(second.number) == Array("two".utf8))
    output.finish(milliseconds: 1000)
  }

  @Test func systemLogGetsWholeLinesWithoutControlCharacters() throws {
    let directory = try TestDirectory()
    let path = directory.path + "/log"
    let daemon = try UnixSocket.listen(at: path, kind: .datagram)
    let output = try started(.systemLog(tag: "vm: 1\n", path: path))
    _ = output.write(Array("first\r\nse\u{1b}co\0nd\n\nrest without end".utf8))
    let prefix = "<14>vm__1_[\(getpid())]: "
    #expect(readSome(daemon.number) == Array((prefix + "first").utf8))
    #expect(readSome(daemon.number) == Array((prefix + "se?co?nd").utf8))
    _ = output.write([UInt8](repeating: UInt8(ascii: "x"), count: 1000))
    #expect(readSome(daemon.number)?.count == prefix.utf8.count + 1000)
    output.finish(milliseconds: 1000)
  }

  @Test func nullOutputAlwaysHasRoom() {
    let output = NullOutput()
    #expect(output.write(1) && output.write([1, 2]))
    output.finish(milliseconds: -1)
  }
}
