import DiskImage
import Glibc
import Platform
import Synchronization

/// A disk whose writes end when they are begun, and whose other operations end when the kernel is entered and the test allows it.
final class ScriptedDisk: DiskImage {
  let size: UInt64 = 1 << 20
  let isReadOnly = false
  let alignment = 512
  let discards = false
  let usesRings: Bool
  /// How writes end.
  let writeCode: Int32
  /// Whether operations besides writes may end.
  let isOpen = Atomic<Bool>(true)
  /// How many of those have ended.
  let ended = Atomic<Int>(0)

  /// What the device's thread has come to.
  enum Moment { case hasBegun, hasNothingToAnswer }
  private struct Script { var play: (@Sendable (Moment) -> Void)? }
  private let script = Mutex(Script())

  init(writeCode: Int32 = 0, usesRings: Bool = true) {
    self.writeCode = writeCode
    self.usesRings = usesRings
  }

  /// Plays the guest's other processors, on the device's own thread; nil for none.
  func play(_ body: (@Sendable (Moment) -> Void)?) { script.withLock { $0.play = body } }

  func at(_ moment: Moment) { script.withLock { $0.play }?(moment) }

  func resize(to bytes: UInt64) throws(DiskError) { throw .cannotResize("script", "it is written") }

  func makeChannel(depth: Int, buffers: (any AnyObject & Sendable)?, ring: IOUring?) throws(DiskError) -> any DiskChannel {
    ScriptedChannel(self)
  }
}

private final class ScriptedChannel: DiskChannel {
  private let disk: ScriptedDisk
  private var events: [DiskEvent] = []
  private var inKernel: [Int] = []
  private var watched: [pollfd] = []

  init(_ disk: ScriptedDisk) { self.disk = disk }

  let bufferLimit = 256
  func watch(_ descriptor: Int32) throws(DiskError) { watched.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)) }
  func start() throws(DiskError) {}
  func clear(slot: Int) {}
  @unsafe func addBuffer(_ start: UnsafeMutableRawPointer, count: Int, slot: Int) -> Bool { true }

  func begin(_ operation: DiskOperation, slot: Int, offset: UInt64, count: UInt64, isDurable: Bool) {
    if operation == .write { events.append(.ended(slot: slot, code: disk.writeCode)) } else { inKernel.append(slot) }
    disk.at(.hasBegun)
  }

  var hasEnded: Bool { !events.isEmpty }
  let endsSoon = true

  func next() -> DiskEvent? {
    if !events.isEmpty { return events.removeFirst() }
    disk.at(.hasNothingToAnswer)
    return nil
  }

  func wait(mayBlock: Bool) throws(DiskError) {
    if disk.isOpen.load(ordering: .relaxed) {
      disk.ended.add(inKernel.count, ordering: .relaxed)
      events += inKernel.map { .ended(slot: $0, code: 0) }
      inKernel = []
    }
    guard mayBlock, events.isEmpty else { return }
    _ = unsafe poll(&watched, UInt(watched.count), 10)
    for entry in watched where entry.revents != 0 {
      var count: UInt64 = 0
      _ = unsafe read(entry.fd, &count, 8)
    }
    events.append(.woken(0))
  }

  func end() { inKernel = [] }
}
