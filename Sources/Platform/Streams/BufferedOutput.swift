internal import Synchronization

/// An output with a bounded buffer and a thread that writes it out in batches.
///
/// The cost for the thread that gives a byte is a lock and an append. The writer is woken for the first byte after a silence; while a
/// guest goes on writing, it collects for two milliseconds at a time, so that a line costs one system call and not eighty.
public final class BufferedOutput: ByteOutput {
  /// At this many unwritten bytes there is no room.
  static let softLimit = 64 << 10
  /// Bytes beyond this many are dropped; the distance from `softLimit` is for a guest that writes a FIFO's worth without asking.
  static let hardLimit = softLimit + (4 << 10)
  /// A writer that collects is woken early at this many bytes.
  static let wakeLimit = 4 << 10
  static let collectMilliseconds: Int32 = 2

  private let shared: OutputBuffer
  private let body: @Sendable () -> Void
  private let name: String
  private let thread = Mutex<PThread?>(nil)

  /// Makes the output; `start` begins to write.
  ///
  /// - Parameters:
  ///   - name: Of the thread.
  ///   - drain: Writes the batches; used by the writer's thread only.
  ///   - onError: Told of the first failed write, on the writer's thread. A batch that cannot be written is dropped, and the next one tried.
  init(name: String, drain: sending any ByteDrain, onError: @escaping @Sendable (SystemError) -> Void) throws(SystemError) {
    let shared = try OutputBuffer()
    let drain = Mutex<any ByteDrain>(drain)
    self.shared = shared
    self.name = name
    body = {
      SignalFD.blockAll()
      drain.withLock { shared.writeOut(to: &$0, onError: onError) }
    }
  }

  /// Starts the writer's thread. What was given before is written then. Calling it again does nothing.
  public func start() throws(SystemError) {
    try thread.withLock { thread throws(SystemError) in
      if thread == nil { thread = try PThread(name: name, body: body) }
    }
  }

  deinit { finish(milliseconds: 0) }

  /// Takes a byte into the buffer.
  public func write(_ byte: UInt8) -> Bool { shared.append { $0.append(byte) } }

  /// Takes bytes into the buffer.
  public func write(_ bytes: [UInt8]) -> Bool { shared.append { $0.append(contentsOf: bytes) } }

  /// Sets who is told that there is room again.
  public func onRoom(_ handler: @escaping @Sendable () -> Void) { shared.state.withLock { $0.roomHandler = handler } }

  /// The number of bytes dropped because the buffer was full or the output finished.
  public var droppedBytes: UInt64 { shared.state.withLock { $0.dropped } }

  /// Takes no more bytes and waits for the writer; a writer still stuck after the time is told to give up, and left to do so.
  public func finish(milliseconds: Int32) {
    guard let thread = thread.withLock({ $0 }) else { return shared.close() }
    let ended = shared.finish(milliseconds: milliseconds)
    if ended { thread.join() }
  }
}

/// Writes batches to their place, on the writer's thread.
protocol ByteDrain {
  /// Writes all bytes, waiting as long as it takes or until `buffer.waitWritable` says to give up.
  mutating func write(_ bytes: [UInt8], for buffer: OutputBuffer) throws(SystemError)

  /// Writes what was kept for more to come: nothing does.
  mutating func finish() throws(SystemError)
}

extension ByteDrain {
  /// Most keep nothing.
  mutating func finish() throws(SystemError) {}
}

/// What the writer's thread shares with those who give it bytes.
final class OutputBuffer: Sendable {
  enum Writer { case waiting, collecting, writing, ended }

  struct State {
    var pending: [UInt8] = []
    var writer = Writer.writing
    var full = false
    var finishing = false
    var abandoned = false
    var dropped: UInt64 = 0
    var roomHandler: (@Sendable () -> Void)?
  }

  let state = Mutex(State())
  private let wake: EventFD
  private let ended: EventFD

  init() throws(SystemError) {
    wake = try EventFD()
    ended = try EventFD()
  }

  /// Adds what `body` appends, unless the buffer is beyond its limit.
  func append(_ body: (inout [UInt8]) -> Void) -> Bool {
    let (wakes, room) = state.withLock { state -> (Bool, Bool) in
      let before = state.pending.count
      body(&state.pending)
      let excess = state.finishing ? state.pending.count - before : state.pending.count - BufferedOutput.hardLimit
      if excess > 0 {
        state.pending.removeLast(excess)
        state.dropped &+= UInt64(excess)
      }
      if state.finishing { return (false, true) }
      if state.pending.count >= BufferedOutput.softLimit { state.full = true }
      let wakes = state.writer == .waiting || (state.writer == .collecting && state.pending.count >= BufferedOutput.wakeLimit)
      if wakes { state.writer = .writing }
      return (wakes, !state.full)
    }
    if wakes { wake.signal() }
    return room
  }

  /// The writer's thread.
  func writeOut(to drain: inout any ByteDrain, onError: (SystemError) -> Void) {
    var batch: [UInt8] = []
    var failed = false
    while takeBatch(&batch) {
      if batch.isEmpty {
        _ = Waiting.wait(for: -1, or: wake)
        continue
      }
      do { try drain.write(batch, for: self) } catch {
        if !failed { onError(error) }
        failed = true
      }
      announceRoom()
      collect()
    }
    if !failed { do { try drain.finish() } catch { onError(error) } }
    ended.signal()
  }

  /// Exchanges the written batch for the pending bytes; false when the writer shall end.
  private func takeBatch(_ batch: inout [UInt8]) -> Bool {
    batch.removeAll(keepingCapacity: batch.capacity <= 2 * BufferedOutput.wakeLimit)
    return state.withLock { state in
      swap(&batch, &state.pending)
      let ends = state.abandoned || (batch.isEmpty && state.finishing)
      state.writer = ends ? .ended : batch.isEmpty ? .waiting : .writing
      return !ends
    }
  }

  private func announceRoom() {
    let handler = state.withLock { state -> (@Sendable () -> Void)? in
      guard state.full, state.pending.count <= BufferedOutput.softLimit / 2 else { return nil }
      state.full = false
      return state.roomHandler
    }
    handler?()
  }

  private func collect() {
    let collects = state.withLock { state in
      guard !state.finishing, state.pending.count < BufferedOutput.wakeLimit else { return false }
      state.writer = .collecting
      return true
    }
    if collects { _ = Waiting.wait(for: -1, or: wake, milliseconds: BufferedOutput.collectMilliseconds) }
  }

  /// Waits, on the writer's thread, until the descriptor takes bytes; false when the writer shall give up.
  func waitWritable(_ descriptor: Int32) -> Bool {
    while true {
      let ready = Waiting.wait(for: descriptor, writing: true, or: wake)
      if state.withLock({ $0.abandoned }) { return false }
      if ready.contains(.descriptor) { return true }
    }
  }

  /// Waits, on the writer's thread; false when the writer shall give up.
  func pause(milliseconds: Int32) -> Bool {
    _ = Waiting.wait(for: -1, or: wake, milliseconds: milliseconds)
    return !state.withLock { $0.abandoned }
  }

  /// Takes no more bytes.
  func close() { state.withLock { $0.finishing = true } }

  /// Ends the writer; true when it has ended.
  func finish(milliseconds: Int32) -> Bool {
    state.withLock { $0.finishing = true }
    wake.signal()
    if hasEnded(within: milliseconds) { return true }
    state.withLock { $0.abandoned = true }
    wake.signal()
    return hasEnded(within: 100)
  }

  private func hasEnded(within milliseconds: Int32) -> Bool {
    // Asks for the state too: an earlier call may have taken the event.
    let ready = Waiting.wait(for: -1, or: ended, milliseconds: max(milliseconds, 0))
    return ready.contains(.event) || state.withLock { $0.writer == .ended }
  }
}
