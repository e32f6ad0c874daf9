internal import CLinux
internal import Glibc
internal import Platform

/// A way to a disk whose operations are done when they are begun: for formats without an asynchronous way of their own, and for hosts
/// that forbid io_uring.
public final class InlineChannel: DiskChannel {
  private let disk: any SynchronousDisk
  private let buffers: (any AnyObject & Sendable)?
  private var table: TransferTable
  private var ended: ReadyList
  private let epoll: OwnedDescriptor
  private var watched: [Int32] = []
  private var woken: [Int] = []

  /// Makes a channel; see `DiskImage.makeChannel`.
  public init(disk: any SynchronousDisk, depth: Int, buffers: (any AnyObject & Sendable)?) throws(DiskError) {
    self.disk = disk
    self.buffers = buffers
    table = try TransferTable(depth: depth)
    ended = ReadyList(depth: depth)
    do {
      epoll = OwnedDescriptor(owning: Int32(try retrying("make an epoll set") { Int(epoll_create1(Int32(EPOLL_CLOEXEC))) }))
    } catch { throw .system(error) }
  }

  /// How many buffers a slot takes.
  public var bufferLimit: Int { TransferTable.bufferLimit }

  /// Wakes `wait` each time that a descriptor is signalled.
  public func watch(_ descriptor: Int32) throws(DiskError) {
    // The kernel's event holds a union with a pointer, which is why naming it is unsafe; only its number is used.
    var event = unsafe epoll_event()
    // Edge-triggered: the descriptor is never drained.
    unsafe event.events = EPOLLIN.rawValue | EPOLLET.rawValue
    unsafe event.data.u32 = UInt32(watched.count)
    let set = epoll.number
    do {
      try retrying("wait for descriptor \(descriptor)") { unsafe Int(epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event)) }
    } catch { throw .system(error) }
    watched.append(descriptor)
    woken.reserveCapacity(watched.count)
  }

  /// Does nothing: this channel works on any thread.
  public func start() throws(DiskError) {}

  /// Empties a slot's list of buffers.
  public func clear(slot: Int) { table.clear(slot) }

  /// Adds memory to a slot's list of buffers.
  @unsafe public func addBuffer(_ start: UnsafeMutableRawPointer, count: Int, slot: Int) -> Bool {
    unsafe table.add(start, count: count, slot: slot)
  }

  /// Does an operation; `next` reports how it ended.
  public func begin(_ operation: DiskOperation, slot: Int, offset: UInt64, count: UInt64, isDurable: Bool) {
    ended.append(slot: slot, code: perform(operation, slot: slot, disk, offset: offset, count: count, isDurable: isDurable))
  }

  private func perform(
    _ operation: DiskOperation, slot: Int, _ disk: some SynchronousDisk, offset: UInt64, count: UInt64, isDurable: Bool
  ) -> Int32 {
    if let code = table.set(slot, operation, disk, offset: offset, count: count, isDurable: isDurable) { return code }
    var code: Int32
    switch operation {
    case .read: return table.transferAll(slot, isWrite: false, disk: disk)
    case .write: return table.transferAll(slot, isWrite: true, disk: disk)
    case .flush: return disk.flush()
    case .discard: code = disk.discard(offset: offset, count: count)
    case .writeZeroes(let mayDiscard): code = disk.writeZeroes(offset: offset, count: count, mayDiscard: mayDiscard)
    }
    if code == 0, isDurable { code = disk.flush() }
    return code
  }

  /// Whether an operation has ended that `next` has not reported.
  public var hasEnded: Bool { ended.count > 0 }

  /// All operations end when they are begun.
  public var endsSoon: Bool { true }

  /// The next event that is known.
  public func next() -> DiskEvent? {
    if let event = ended.takeFirst() { return event }
    return woken.popLast().map { .woken($0) }
  }

  /// Sleeps until a watched descriptor is signalled, unless an event is known.
  public func wait(mayBlock: Bool) throws(DiskError) {
    guard mayBlock, ended.count == 0, woken.isEmpty else { return }
    let set = epoll.number
    var events = unsafe (epoll_event(), epoll_event(), epoll_event(), epoll_event())
    let count = unsafe withUnsafeMutableBytes(of: &events) {
      unsafe epoll_wait(set, $0.baseAddress?.assumingMemoryBound(to: epoll_event.self), 4, -1)
    }
    if count < 0, errno != EINTR { throw .system(.last("wait for events")) }
    unsafe withUnsafeBytes(of: &events) { bytes in
      // In bounds: the kernel fills at most the four.
      for index in 0..<max(0, Int(count)) {
        let event = unsafe bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<epoll_event>.stride, as: epoll_event.self)
        unsafe woken.append(Int(event.data.u32))
      }
    }
  }

  /// Forgets what has ended.
  public func end() {
    ended.removeAll()
    woken.removeAll(keepingCapacity: true)
  }
}
