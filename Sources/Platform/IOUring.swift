internal import CLinux
internal import Glibc

/// A submission and a completion queue shared with the kernel (io_uring(7)), owned by one thread.
///
/// Requests are queued by the methods of `IOUring+Requests.swift`, handed over by `submit`, and end in exactly one `Completion` each
/// (several for a poll that stays armed). The ring counts them. The memory that requests point to belongs to `buffers`: the ring keeps
/// that object until the kernel has finished with the last request, whatever happens to the ring.
///
/// After `start` the ring must be used by the thread that called it, and by no other.
@safe public final class IOUring {
  /// How the kernel runs the ends of requests.
  public enum Mode: Sendable, CaseIterable {
    /// Only when the owning thread asks for completions: the fewest interruptions (Linux 6.1).
    case deferred
    /// When the owning thread next enters the kernel for any reason (Linux 5.19).
    case cooperative
    /// At once, by interrupting the owning thread.
    case interrupting

    var setupFlags: UInt32 {
      switch self {
      case .deferred: IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL
      case .cooperative: IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL
      case .interrupting: 0
      }
    }
  }

  /// The end, or a sign of life, of a request.
  public struct Completion: Sendable {
    /// The value that the request was queued with.
    public let token: UInt64
    /// A count or zero on success, a negated `errno` on failure.
    public let result: Int32
    /// Whether the request goes on and will complete again.
    public let continues: Bool
  }

  /// How this ring runs the ends of requests: the best that the kernel offers.
  public let mode: Mode

  private let descriptor: OwnedDescriptor
  private let rings: MemoryMapping
  private let entryMemory: MemoryMapping
  private let buffers: (any AnyObject & Sendable)?

  private let submissionHead: UnsafeMutablePointer<UInt32>
  private let submissionTail: UnsafeMutablePointer<UInt32>
  private let completionHead: UnsafeMutablePointer<UInt32>
  private let completionTail: UnsafeMutablePointer<UInt32>
  private let entries: UnsafeMutablePointer<io_uring_sqe>
  private let completions: UnsafeMutablePointer<io_uring_cqe>
  private let submissionMask: UInt32
  private let completionMask: UInt32
  private let submissionCapacity: UInt32

  // This side's copies of the indices that only it writes, and the last seen of those that only the kernel writes.
  private var queuedTail: UInt32 = 0
  private var submittedTail: UInt32 = 0
  private var takenHead: UInt32 = 0
  private var seenTail: UInt32 = 0
  private var enterDescriptor: Int32
  private var enterFlags: UInt32 = 0
  private var started = false
  /// The tokens of the polls ever queued: those that go on until cancelled.
  var polls: [UInt64] = []

  /// The number of requests queued or in flight: not ended yet.
  public private(set) var inFlight = 0

  /// Makes a ring, at rest until `start`.
  ///
  /// - Parameters:
  ///   - depth: How many requests may be in flight at a time, 1 to 16384; exceeding it costs time, not correctness.
  ///   - buffers: The owner of all memory that requests will point to, kept until none is in flight.
  ///   - modes: The modes to try, best first.
  /// - Throws: `ENOSYS`, `EPERM` where the kernel has no io_uring or forbids it; `ENOMEM`.
  public init(depth: Int, buffers: (any AnyObject & Sendable)?, modes: [Mode] = Mode.allCases) throws(SystemError) {
    let submissions = UInt32(min(max(depth, 8), 64))
    let (number, parameters, mode) = try IOUring.setUp(submissions: submissions, depth: UInt32(min(max(depth, 8), 16384)), modes: modes)
    descriptor = OwnedDescriptor(owning: number)
    enterDescriptor = number
    self.mode = mode
    self.buffers = buffers
    guard parameters.features & IORING_FEAT_SINGLE_MMAP != 0, parameters.features & IORING_FEAT_NODROP != 0 else {
      throw SystemError("set up io_uring", code: ENOSYS)
    }
    let submissionEnd = Int(parameters.sq_off.array) + Int(parameters.sq_entries) * MemoryLayout<UInt32>.stride
    let completionEnd = Int(parameters.cq_off.cqes) + Int(parameters.cq_entries) * MemoryLayout<io_uring_cqe>.stride
    rings = try .map(descriptor: number, offset: 0, count: max(submissionEnd, completionEnd), sharing: .shared)
    let entryBytes = Int(parameters.sq_entries) * MemoryLayout<io_uring_sqe>.stride
    entryMemory = try .map(descriptor: number, offset: IOUring.entriesOffset, count: entryBytes, sharing: .shared)

    // In bounds: the kernel chose these offsets for the mapping's length computed above.
    let base = unsafe rings.base
    unsafe submissionHead = (base + Int(parameters.sq_off.head)).assumingMemoryBound(to: UInt32.self)
    unsafe submissionTail = (base + Int(parameters.sq_off.tail)).assumingMemoryBound(to: UInt32.self)
    unsafe completionHead = (base + Int(parameters.cq_off.head)).assumingMemoryBound(to: UInt32.self)
    unsafe completionTail = (base + Int(parameters.cq_off.tail)).assumingMemoryBound(to: UInt32.self)
    unsafe completions = (base + Int(parameters.cq_off.cqes)).assumingMemoryBound(to: io_uring_cqe.self)
    unsafe entries = entryMemory.base.assumingMemoryBound(to: io_uring_sqe.self)
    submissionCapacity = parameters.sq_entries
    submissionMask = parameters.sq_entries - 1
    completionMask = parameters.cq_entries - 1
    // Entry n is always described by slot n, so the indirection is written once.
    let array = unsafe (base + Int(parameters.sq_off.array)).assumingMemoryBound(to: UInt32.self)
    for index in 0..<Int(parameters.sq_entries) { unsafe array[index] = UInt32(index) }
  }

  /// Where the kernel maps submission entries (IORING_OFF_SQES).
  private static let entriesOffset = 0x1000_0000

  private static func setUp(
    submissions: UInt32, depth: UInt32, modes: [Mode]
  ) throws(SystemError) -> (number: Int32, parameters: io_uring_params, mode: Mode) {
    var failure = SystemError("set up io_uring", code: EINVAL)
    for mode in modes {
      var parameters = io_uring_params()
      parameters.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | mode.setupFlags
      // Twice the depth: room for the doorbells that ring while every request completes.
      parameters.cq_entries = depth * 2
      let number = unsafe clinux_io_uring_setup(submissions, &parameters)
      if number >= 0 { return (number, parameters, mode) }
      failure = SystemError.last("set up io_uring")
      if failure.code != EINVAL { break }
    }
    throw failure
  }

  deinit {
    if !endAll(), let buffers {
      // The kernel may still write to the buffers, and nobody can say when it stops: they are never given back.
      _ = unsafe Unmanaged.passRetained(buffers)
    }
  }

  /// Begins the ring's work; the calling thread owns the ring from now on.
  public func start() throws(SystemError) {
    let number = descriptor.number
    try retrying("start io_uring") { Int(clinux_io_uring_register(number, UInt32(IORING_REGISTER_ENABLE_RINGS), nil, 0)) }
    started = true
    // A registered ring saves the kernel two atomic operations each time it is entered (Linux 5.18); a refusal is not an error.
    // Files are not registered, though that would save as much on each request: the kernel drops them, and with them the locks on
    // them, only some time after the ring was closed.
    var update = io_uring_rsrc_update()
    update.offset = UInt32.max
    update.data = UInt64(number)
    if unsafe clinux_io_uring_register(number, UInt32(IORING_REGISTER_RING_FDS), &update, 1) == 1 {
      enterDescriptor = Int32(bitPattern: update.offset)
      enterFlags = IORING_ENTER_REGISTERED_RING
    }
  }

  /// Puts a request in the queue, after making room for it.
  func queue(_ entry: io_uring_sqe) throws(SystemError) {
    while unsafe queuedTail &- clinux_load_acquire_32(submissionHead) >= submissionCapacity { try submit() }
    // In bounds: the mask is the number of entries less one, a power of two less one.
    unsafe (entries + Int(queuedTail & submissionMask)).pointee = entry
    queuedTail &+= 1
    inFlight += 1
  }

  /// Hands queued requests to the kernel, and waits.
  ///
  /// A signal ends the wait early, without an error.
  ///
  /// - Parameter minimum: How many completions to wait for, those that are ready already included.
  public func submit(waitingFor minimum: Int = 0) throws(SystemError) {
    unsafe clinux_store_release_32(submissionTail, queuedTail)
    let count = queuedTail &- submittedTail
    var flags = enterFlags
    // In deferred mode completions are made only on request.
    if minimum > 0 || mode == .deferred { flags |= IORING_ENTER_GETEVENTS }
    let taken = clinux_io_uring_enter(enterDescriptor, count, UInt32(minimum), flags)
    if taken >= 0 {
      submittedTail &+= UInt32(taken)
    } else if errno != EINTR, errno != EAGAIN, errno != EBUSY {
      // The other three mean: take completions, then come again.
      throw SystemError.last("enter io_uring")
    } else {
      submittedTail = unsafe clinux_load_acquire_32(submissionHead)
    }
  }

  /// Whether requests wait for `submit`.
  public var hasQueued: Bool { queuedTail != submittedTail }

  /// The next completion, or nil when the kernel has posted no more.
  public func next() -> Completion? {
    if takenHead == seenTail {
      unsafe clinux_store_release_32(completionHead, takenHead)
      seenTail = unsafe clinux_load_acquire_32(completionTail)
      if takenHead == seenTail { return nil }
    }
    let entry = unsafe (completions + Int(takenHead & completionMask)).pointee
    takenHead &+= 1
    let continues = entry.flags & IORING_CQE_F_MORE != 0
    if !continues { inFlight -= 1 }
    return Completion(token: entry.user_data, result: entry.res, continues: continues)
  }

  /// Cancels what can be cancelled and waits for the rest; completions are lost. The ring is of no use afterwards.
  ///
  /// - Returns: Whether nothing is in flight any more.
  @discardableResult
  public func endAll() -> Bool {
    // Requests that were queued but never submitted are unknown to the kernel.
    guard started else { return true }
    while next() != nil {}
    do {
      // Where the kernel cannot cancel everything at once (before 5.19), polls are cancelled one by one; requests on files end by
      // themselves.
      if inFlight > 0 {
        for token in polls { try cancel(token, token: .max) }
        try cancelAll(token: .max)
      }
      while inFlight > 0 {
        try submit(waitingFor: 1)
        while next() != nil {}
      }
    } catch { return false }
    unregister()
    return true
  }

  /// Gives the thread's hold on the ring back, which would outlive the descriptor.
  private func unregister() {
    guard enterFlags & IORING_ENTER_REGISTERED_RING != 0 else { return }
    var update = io_uring_rsrc_update()
    update.offset = UInt32(bitPattern: enterDescriptor)
    _ = unsafe clinux_io_uring_register(descriptor.number, UInt32(IORING_UNREGISTER_RING_FDS), &update, 1)
    enterDescriptor = descriptor.number
    enterFlags = 0
  }
}
