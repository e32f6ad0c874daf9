internal import CLinux
internal import Glibc
internal import Synchronization

/// Takes what an `InputPump` reads: a device's receive buffer.
public protocol ByteReceiver: AnyObject, Sendable {
  /// Takes as many bytes from the front as there is room for, without blocking.
  ///
  /// - Returns: The number of bytes taken. After fewer than all, the room handler is called once there is room.
  func receive(_ bytes: ArraySlice<UInt8>) -> Int

  /// Sets who is told, on any thread, that there is room again after `receive` took less than it was offered.
  func onReceiveRoom(_ handler: @escaping @Sendable () -> Void)
}

/// A thread that reads a descriptor and hands the bytes to a device, never faster than the device takes them.
///
/// It holds at most one buffer of 4 KiB; the rest waits in the kernel, where it makes the writer wait. Nothing is lost.
public final class InputPump: Sendable {
  private static let bufferSize = 4096
  /// How often to look whether a process in the background has come to the foreground, in milliseconds.
  private static let lookInterval: Int32 = 500
  private let wake: EventFD
  private let stopping: Flag
  private let thread: PThread
  private let isTerminal: Bool

  private final class Flag: Sendable {
    let value = Atomic<Bool>(false)
  }

  /// Starts to read a borrowed descriptor, which must stay open until `stop`.
  ///
  /// The thread ends at the end of the input, or when reading fails.
  public init(name: String = "input", descriptor: Int32, receiver: any ByteReceiver) throws(SystemError) {
    let wake = try EventFD()
    let stopping = Flag()
    self.wake = wake
    self.stopping = stopping
    receiver.onReceiveRoom { wake.signal() }
    let isTerminal = isatty(descriptor) == 1
    self.isTerminal = isTerminal
    if isTerminal { Terminal.wakeAtContinuation(wake) }
    thread = try PThread(name: name) {
      SignalFD.blockAll()
      var buffer = [UInt8](repeating: 0, count: InputPump.bufferSize)
      while let count = InputPump.read(descriptor, isTerminal, into: &buffer, wake: wake, stopping: stopping) {
        if !InputPump.deliver(buffer[..<count], to: receiver, wake: wake, stopping: stopping) { return }
      }
    }
  }

  deinit { stop() }

  /// Ends the thread; bytes that the device has not taken are forgotten. Calling it again does nothing. Not to be called by the receiver.
  public func stop() {
    stopping.value.store(true, ordering: .releasing)
    if isTerminal { Terminal.wakeAtContinuation(nil) }
    wake.signal()
    // Where another process reads the same input, the thread may sleep in a read of what that one took. It is left there: it holds
    // nothing but its buffer, and what it reads goes nowhere.
    _ = thread.join(within: 200)
  }

  /// Waits for input; `nil` at its end or when the pump shall stop.
  private static func read(_ descriptor: Int32, _ isTerminal: Bool, into buffer: inout [UInt8], wake: EventFD, stopping: Flag) -> Int? {
    while !stopping.value.load(ordering: .acquiring) {
      if isTerminal { Terminal.comeForward() }
      guard !isTerminal || !Terminal.isBehind else {
        // What is there is for the program in the foreground. Once that has taken it, a read would wait for a whole line, and not look.
        _ = Waiting.wait(for: -1, or: wake, milliseconds: InputPump.lookInterval)
        continue
      }
      guard Waiting.wait(for: descriptor, or: wake).contains(.descriptor) else { continue }
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count > 0 { return count }
      if count == 0 { return nil }
      switch errno {
      case EINTR, EAGAIN: continue
      // A terminal says this to a process in the background; it may come to the foreground again.
      case EIO where isTerminal: _ = Waiting.wait(for: -1, or: wake, milliseconds: InputPump.lookInterval)
      default: return nil
      }
    }
    return nil
  }

  /// Hands over all bytes; false when the pump shall stop first.
  private static func deliver(_ bytes: ArraySlice<UInt8>, to receiver: any ByteReceiver, wake: EventFD, stopping: Flag) -> Bool {
    var rest = bytes
    while !stopping.value.load(ordering: .acquiring) {
      rest = rest.dropFirst(receiver.receive(rest))
      if rest.isEmpty { return true }
      _ = Waiting.wait(for: -1, or: wake)
    }
    return false
  }
}
