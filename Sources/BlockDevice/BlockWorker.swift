internal import GuestMemory
internal import Platform
internal import Synchronization
internal import Virtio

/// What a queue's thread shall do, and how it is told.
final class WorkerCommand: Sendable {
  enum Command: UInt8 {
    case serve
    /// Answer what was taken, take no more, and end.
    case drain
    /// End as soon as the disk has let go of all memory.
    case abandon
  }

  /// Wakes the thread.
  let event: EventFD
  private let state = Atomic<UInt8>(Command.serve.rawValue)

  init() throws(SystemError) { event = try EventFD() }

  var current: Command { Command(rawValue: state.load(ordering: .acquiring)) ?? .abandon }

  func give(_ command: Command) {
    state.store(command.rawValue, ordering: .releasing)
    event.signal()
  }
}

/// Whether writes may end before they are on stable storage (virtio 1.2, section 5.2.5).
final class WriteCache: Sendable {
  private let state: Atomic<Bool>

  init(isOn: Bool) { state = Atomic(isOn) }

  var isOn: Bool {
    get { state.load(ordering: .relaxed) }
    set { state.store(newValue, ordering: .relaxed) }
  }
}

/// The thread of one queue.
struct BlockWorker: Sendable {
  private let thread: PThread
  private let command: WorkerCommand

  /// Carries a value to a thread that starts.
  private final class Handover: Sendable {
    private let service: Mutex<BlockService?>
    init(_ service: sending BlockService) { self.service = Mutex(service) }
    func take() -> sending BlockService? {
      service.withLock { service in
        let taken = service
        service = nil
        return taken
      }
    }
  }

  /// Starts to serve a queue.
  ///
  /// - Throws: `DiskError` or `SystemError` when the host refuses what the thread needs; nothing was begun then.
  init(name: String, queue: VirtQueue, memory: GuestMemory, shared: BlockService.Shared) throws {
    command = try WorkerCommand()
    let handover = Handover(try BlockService(queue: queue, memory: memory, shared: shared, command: command))
    thread = try PThread(name: name) { handover.take()?.run() }
  }

  /// Tells the thread to end; `join` waits for that.
  func end(_ command: WorkerCommand.Command) { self.command.give(command) }

  /// Waits until the thread has ended and the disk touches no memory any more.
  func join() { thread.join() }
}
