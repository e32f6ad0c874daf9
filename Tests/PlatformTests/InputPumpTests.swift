import Glibc
import Synchronization
import Testing

@testable import Platform

/// Takes a few bytes at a time, and only when it is asked to.
private final class SlowReceiver: ByteReceiver {
  private struct State {
    var bytes: [UInt8] = []
    var credit = 0
    var handler: (@Sendable () -> Void)?
  }
  private let state = Mutex(State())
  var bytes: [UInt8] { state.withLock { $0.bytes } }

  func receive(_ bytes: ArraySlice<UInt8>) -> Int {
    state.withLock { state in
      let count = min(bytes.count, state.credit)
      state.credit -= count
      state.bytes += bytes.prefix(count)
      return count
    }
  }

  func onReceiveRoom(_ handler: @escaping @Sendable () -> Void) { state.withLock { $0.handler = handler } }

  func allow(_ count: Int) {
    let handler = state.withLock { state in
      state.credit += count
      return state.handler
    }
    handler?()
  }
}

@Suite struct InputPumpTests {
  @Test func aSlowReceiverGetsEveryByteInOrder() throws {
    let pipe = try TestPipe()
    let receiver = SlowReceiver()
    let pump = try InputPump(descriptor: pipe.readEnd.number, receiver: receiver)
    let sent = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 % 251) }
    #expect(unsafe sent.withUnsafeBytes { unsafe write(pipe.writeEnd.number, $0.baseAddress, $0.count) } == sent.count)
    let deadline = monotonicNanoseconds() + 10_000_000_000
    while receiver.bytes.count < sent.count, monotonicNanoseconds() < deadline { receiver.allow(7) }
    #expect(receiver.bytes == sent)
    pump.stop()
  }

  @Test func stoppingEndsAPumpThatWaitsForInputOrForRoom() throws {
    let pipe = try TestPipe()
    let receiver = SlowReceiver()
    try InputPump(descriptor: pipe.readEnd.number, receiver: receiver).stop()
    let waiting = try InputPump(descriptor: pipe.readEnd.number, receiver: receiver)
    #expect(unsafe write(pipe.writeEnd.number, [1, 2, 3] as [UInt8], 3) == 3)
    usleep(10_000)
    waiting.stop()
    waiting.stop()
    #expect(receiver.bytes.isEmpty)
  }

  @Test func theEndOfTheInputEndsThePumpQuietly() throws {
    let null = try OwnedDescriptor.open("/dev/null", flags: O_RDONLY)
    let pump = try InputPump(descriptor: null.number, receiver: SlowReceiver())
    pump.stop()
  }
}
