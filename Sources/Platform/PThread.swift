internal import CLinux
internal import Glibc
internal import Synchronization

/// A named operating-system thread that is joined before it is forgotten.
public final class PThread: Sendable {
  private struct State: @unchecked Sendable {
    var handle: pthread_t
    var joined = false
  }

  private final class Start {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  private let state: Mutex<State>

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
    let start = unsafe Unmanaged.passRetained(Start(name: name, body: body))
    let code = unsafe pthread_create(
      &handle, &attributes,
      { argument in
        guard let argument = unsafe argument else { return nil }
        // Balances passRetained above; the thread owns its start value from here.
        let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        _ = unsafe pthread_setname_np(pthread_self(), String(start.name.prefix(15)))
        start.body()
        return nil
      }, start.toOpaque())
    guard code == 0 else {
      unsafe start.release()
      throw SystemError("start thread \(name)", code: code)
    }
    state = Mutex(State(handle: handle))
  }

  /// Waits for the thread's end. Must not be called by the thread itself. Further calls return at once.
  public func join() {
    let handle = state.withLock { state -> pthread_t? in
      defer { state.joined = true }
      return state.joined ? nil : state.handle
    }
    if let handle { _ = pthread_join(handle, nil) }
  }

  /// Sends a signal to the thread, unless it was joined.
  public func signal(_ number: Int32) {
    state.withLock { state in
      if !state.joined { _ = pthread_kill(state.handle, number) }
    }
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
