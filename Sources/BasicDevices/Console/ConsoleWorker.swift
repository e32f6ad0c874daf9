internal import Platform
internal import Synchronization
internal import Virtio

/// Serves the console's queues on one thread.
enum ConsoleWorker {
  /// The queue whose buffers the device fills with input.
  static let receiveQueue: UInt16 = 0
  /// The queue whose buffers the device prints.
  static let transmitQueue: UInt16 = 1
  /// The queue whose buffers the device fills with control messages.
  static let controlReceiveQueue: UInt16 = 2

  static func start(
    _ queues: [VirtQueue?], input: ConsoleInput, output: ConsoleOutput, control: ConsoleControl, suspended: Bool
  ) throws(SystemError) -> QueueWorker {
    let controlReceive = queues.compactMap { $0 }.first { $0.index == controlReceiveQueue }
    let services = queues.compactMap { $0 }.map { queue in
      QueueWorker.Service(queue, budget: 16) { chain, queue in
        switch queue.index {
        case receiveQueue: return input.fill(chain)
        case transmitQueue: return output.print(chain, onLongChain: { queue.doorbell.signal() })
        case controlReceiveQueue: return control.fill(chain)
        default:
          if control.handle(chain) { controlReceive?.doorbell.signal() }
          return .done(written: 0)
        }
      }
    }
    return try QueueWorker(name: "virtio_console", services: services, suspended: suspended)
  }
}

/// Input on its way to the guest: a small buffer between the thread that reads it and the worker.
final class ConsoleInput: Sendable {
  /// The most bytes kept; the rest stays with whoever offers it.
  static let capacity = 4096

  private struct State {
    var bytes: [UInt8] = []
    var isOpen = false
    var someoneWaits = false
    var roomHandler: (@Sendable () -> Void)?

    /// Whoever is to be told of room, if there is enough to be worth it.
    mutating func whomToTell() -> (@Sendable () -> Void)? {
      guard isOpen, someoneWaits, bytes.count <= ConsoleInput.capacity / 2 else { return nil }
      someoneWaits = false
      return roomHandler
    }
  }

  private let state = Mutex(State())

  func onRoom(_ handler: @escaping @Sendable () -> Void) { state.withLock { $0.roomHandler = handler } }

  /// Takes bytes if a driver is there.
  func receive(_ bytes: ArraySlice<UInt8>) -> Int {
    state.withLock { state in
      let count = state.isOpen ? min(bytes.count, ConsoleInput.capacity - state.bytes.count) : 0
      state.bytes += bytes.prefix(count)
      state.someoneWaits = count < bytes.count
      return count
    }
  }

  /// A driver is there.
  func open() {
    let handler = state.withLock { state in
      state.isOpen = true
      return state.whomToTell()
    }
    handler?()
  }

  /// The driver has gone.
  func close() { state.withLock { $0.isOpen = false } }

  /// Serves a chain of the receive queue; one without room for a byte is handed back empty.
  func fill(_ chain: DescriptorChain) -> QueueWorker.Outcome {
    var writer = ChainWriter(chain)
    if writer.remaining == 0 { return .done(written: 0) }
    let (isEmpty, handler) = state.withLock { state -> (Bool, (@Sendable () -> Void)?) in
      let count = min(state.bytes.count, Int(clamping: writer.remaining))
      // Cannot fail: there is room for `count`. If it did, the bytes would stay.
      if (try? writer.write(Array(state.bytes.prefix(count)))) != nil { state.bytes.removeFirst(count) }
      return (count == 0, state.whomToTell())
    }
    handler?()
    return isEmpty ? .later : .done(written: writer.written)
  }

  var undelivered: [UInt8] { state.withLock { $0.bytes } }

  func restore(_ bytes: [UInt8]) { state.withLock { $0.bytes = bytes } }
}

/// Output on its way from the guest. A chain that does not fit at once is printed piece by piece.
final class ConsoleOutput: Sendable {
  /// What an output takes beyond what it has room for.
  private static let pieceSize: UInt64 = 4096

  /// How much of a chain is printed at a time: its length is the driver's choice.
  private static let turnSize: UInt64 = 256 << 10

  private struct State {
    /// No room: `unblock` comes.
    var isBlocked = false
    /// How much of the chain at the queue's head is printed already.
    var printed: UInt64 = 0
    var piece: [UInt8] = []
  }

  private let state = Mutex(State())
  private let output: any ByteOutput

  init(_ output: any ByteOutput) { self.output = output }

  /// Prints a byte that comes from no queue.
  func write(_ byte: UInt8) { state.withLock { if !output.write(byte) { $0.isBlocked = true } } }

  func unblock() { state.withLock { $0.isBlocked = false } }

  /// Serves a chain of the transmit queue.
  ///
  /// - Parameter onLongChain: Called when the chain is so long that others, and the end, have their turn before the rest of it.
  func print(_ chain: DescriptorChain, onLongChain: () -> Void = {}) -> QueueWorker.Outcome {
    state.withLock { state in
      let start = min(state.printed, chain.readableBytes)
      // The driver may have changed the chain since it was put back.
      state.printed = min(state.printed, chain.readableBytes)
      while state.printed < chain.readableBytes {
        if state.isBlocked { return .later }
        if state.printed - start >= ConsoleOutput.turnSize {
          onLongChain()
          return .later
        }
        let count = min(ConsoleOutput.pieceSize, chain.readableBytes - state.printed)
        state.piece.removeAll(keepingCapacity: true)
        do throws(ChainError) { try chain.copyReadable(offset: state.printed, count: Int(count), into: &state.piece) } catch {
          return .failed(error.description)
        }
        state.isBlocked = !output.write(state.piece)
        state.printed += count
      }
      state.printed = 0
      return .done(written: 0)
    }
  }

  /// The queue is gone, and with it the chain at its head.
  func forgetPartial() { state.withLock { $0.printed = 0 } }

  var printed: UInt64 { state.withLock { $0.printed } }

  func restore(printed: UInt64) { state.withLock { $0.printed = printed } }
}
