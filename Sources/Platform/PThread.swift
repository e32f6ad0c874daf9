internal import CLinux
internal import Glibc
internal import Synchronization

/// A named operating-system thread that is joined before it is forgotten.
public final class PThread: Sendable {
  /// What the thread and its owner both know.
  private final class Start: Sendable {
    let name: String
    let body: @Sendable () -> Void
    /// Set by the thread as its last act. While it is not, and the lock is held, the thread's handle is valid.
    let hasEnded = Mutex(false)
    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  private let start: Start
  private let handle: pthread_t
  private let isJoined = Atomic(false)

  /// Starts a thread.
  ///
  /// - Parameters:
  ///   - name: Shown by `ps` and debuggers; the kernel keeps the first 15 bytes.
  ///   - stackSize: In bytes; small by default, because only touched pages count.
  ///   - body: What the thread does; the thread ends when it returns.
  public init(name: String, stackSize: Int = 512 << 10, body: @escaping @Sendable () -> Void) throws(SystemError) {
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    defer { unsafe pthread_attr_destroy(&attributes) }
    unsafe pthread_attr_setstacksize(&attributes, max(stackSize, 64 << 10))
    var handle = pthread_t()
    start = Start(name: name, body: body)
    let retained = unsafe Unmanaged.passRetained(start)
    let code = unsafe pthread_create(
      &handle, &attributes,
      { argument in
        guard let argument = unsafe argument else { return nil }
        // Balances passRetained above; the thread owns its start value from here.
        let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        _ = unsafe pthread_setname_np(pthread_self(), shortened(start.name))
        start.body()
        start.hasEnded.withLock { $0 = true }
        return nil
      }, retained.toOpaque())
    guard code == 0 else {
      unsafe retained.release()
      throw SystemError("start thread \(name)", code: code)
    }
    self.handle = handle
  }

  /// A thread that nobody joined goes on; the kernel frees it at its end.
  deinit { if !isJoined.load(ordering: .acquiring) { pthread_detach(handle) } }

  /// Waits for the thread's end. Must not be called by the thread itself. Further calls return at once.
  public func join() {
    if !isJoined.exchange(true, ordering: .acquiringAndReleasing) { _ = pthread_join(handle, nil) }
  }

  /// Waits for the thread's end, but not for ever; otherwise as `join`.
  ///
  /// - Returns: Whether it has ended.
  public func join(within milliseconds: Int) -> Bool {
    guard !isJoined.exchange(true, ordering: .acquiringAndReleasing) else { return true }
    let time = monotonicNanoseconds() &+ UInt64(max(0, milliseconds)) &* 1_000_000
    var deadline = timespec(tv_sec: Int(time / 1_000_000_000), tv_nsec: Int(time % 1_000_000_000))
    let hasEnded = unsafe pthread_clockjoin_np(handle, nil, CLOCK_MONOTONIC, &deadline) == 0
    if !hasEnded { isJoined.store(false, ordering: .releasing) }
    return hasEnded
  }

  /// Sends a signal to the thread, unless it has ended; also while another thread waits in `join`.
  public func signal(_ number: Int32) {
    start.hasEnded.withLock { ended in
      if !ended { _ = pthread_kill(handle, number) }
    }
  }

  /// Lets a signal reach the calling thread. Threads begin with the mask of the thread that starts them, and those of Swift's own pool
  /// block every signal.
  public static func unblock(_ signal: Int32) {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    unsafe sigaddset(&set, signal)
    unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
  }

  /// Says whether the calling thread, when it is woken, waits until those that run at the moment have had their turn (SCHED_BATCH,
  /// sched(7)); at first none does. No host refuses it.
  public static func waitForTurn(_ waits: Bool) { _ = clinux_sched_setpolicy(waits ? clinux_SCHED_BATCH : clinux_SCHED_OTHER) }

  /// The host's processors that the calling thread may run on, numbered from 0; empty where that cannot be found out.
  public static var affinity: Set<Int> {
    var mask = [UInt8](repeating: 0, count: 1024)
    let count = unsafe clinux_sched_getaffinity(&mask, mask.count)
    guard count > 0 else { return [] }
    return Set((0..<min(Int(count), mask.count) * 8).filter { mask[$0 / 8] & 1 << UInt8($0 % 8) != 0 })
  }

  /// Restricts the calling thread to some of the host's processors, numbered from 0.
  ///
  /// - Throws: `SystemError` when none of them exists or may be used, or a number is not in 0...8191.
  public static func setAffinity(_ processors: [Int]) throws(SystemError) {
    var mask = [UInt8](repeating: 0, count: 1024)
    for processor in processors {
      guard processor >= 0, processor < mask.count * 8 else { throw SystemError("run on host processor \(processor)", code: EINVAL) }
      mask[processor / 8] |= 1 << UInt8(processor % 8)
    }
    if unsafe clinux_sched_setaffinity(mask, mask.count) < 0 { throw SystemError.last("run on host processors \(processors)") }
  }
}

/// As much of a name as the kernel keeps: 15 bytes, and whole characters.
private func shortened(_ name: String) -> String {
  var short = ""
  for character in name where short.utf8.count + character.utf8.count <= 15 { short.append(character) }
  return short
}
