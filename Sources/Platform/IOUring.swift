internal import CLinux
internal import Glibc

/// A submission and a completion queue shared with the kernel (io_uring(7)), owned by one thread.
///
/// Requests are queued by the methods of `IOUring+Requests.swift`, handed over by `submit`, and end in exactly one `Completion` each
/// (several for a poll that stays armed). The ring counts them. The memory that requests point to belongs to the owner that `start` is given:
/// the ring keeps that object until the kernel has finished with the last request, whatever happens to the ring.
///
/// After its first `start` the ring must be used by the thread that called it, and by no other. It takes no requests but those that
/// `IOUring+Requests.swift` makes, whoever writes to its memory: the kernel is told so when the ring is made (Linux 5.10).
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
  private var buffers: (any AnyObject & Sendable)?

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
  private var isEnabled = false
  /// Whether nothing is in flight, and the ring can be started: first of all, and again after `endAll`.
  public private(set) var isAtRest = true
  /// The tokens of the polls ever queued: those that go on until cancelled.
  var polls: [UInt64] = []

  /// The number of requests queued or in flight: not ended yet.
  public private(set) var inFlight = 0

  /// Makes a ring, at rest until `start`.
  ///
  /// - Parameters:
  ///   - depth: How many requests may be in flight at a time, 1 to 16384; exceeding it costs time, not correctness.
  ///   - modes: The modes to try, best first.
  /// - Throws: `ENOSYS`, `EPERM` where the kernel has no io_uring or forbids it; `ENOMEM`.
  public init(depth: Int, modes: [Mode] = Mode.allCases) throws(SystemError) {
    let submissions = UInt32(min(max(depth, 8), 64))
    let (number, parameters, mode) = try IOUring.setUp(submissions: submissions, depth: UInt32(min(max(depth, 8), 16384)), modes: modes)
    descriptor = OwnedDescriptor(owning: number)
    enterDescriptor = number
    self.mode = mode
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
    try restrict()
  }

  /// Makes the kernel refuse, from `start` on, all but what this ring is used for (IORING_REGISTER_RESTRICTIONS).
  private func restrict() throws(SystemError) {
    var restrictions = IOUring.operations.map { operation in
      var restriction = io_uring_restriction()
      restriction.opcode = UInt16(IORING_RESTRICTION_SQE_OP)
      restriction.sqe_op = UInt8(truncatingIfNeeded: operation.rawValue)
      return restriction
    }
    var registration = io_uring_restriction()
    registration.opcode = UInt16(IORING_RESTRICTION_REGISTER_OP)
    registration.register_op = UInt8(truncatingIfNeeded: IORING_REGISTER_RING_FDS)
    restrictions.append(registration)
    let number = descriptor.number
    try retrying("restrict io_uring") {
      unsafe Int(
        clinux_io_uring_register(number, UInt32(IORING_REGISTER_RESTRICTIONS), restrictions, UInt32(restrictions.count)))
    }
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
  ///
  /// - Parameter buffers: The owner of all memory that requests will point to, kept until none is in flight.
  /// - Throws: `EEXIST` when another thread started the ring first; `EBUSY` when it is not at rest.
  public func start(buffers: (any AnyObject & Sendable)?) throws(SystemError) {
    guard isAtRest else { throw SystemError("start io_uring", code: EBUSY) }
    if !isEnabled { try enable() }
    self.buffers = buffers
    isAtRest = false
  }

  private func enable() throws(SystemError) {
    let number = descriptor.number
    try retrying("start io_uring") { Int(clinux_io_uring_register(number, UInt32(IORING_REGISTER_ENABLE_RINGS), nil, 0)) }
    isEnabled = true
    // A registered ring saves the kernel two atomic operations each time it is entered (Linux 5.18); a refusal is not an error. The
    // thread's hold on the ring lasts until the thread ends.
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

  /// Cancels what can be cancelled and waits for the rest; completions are lost. The ring may then be started again.
  ///
  /// - Returns: Whether nothing is in flight any more; where not, the ring is of no use, and keeps the buffers.
  @discardableResult
  public func endAll() -> Bool {
    if isAtRest { return true }
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
    polls.removeAll(keepingCapacity: true)
    buffers = nil
    isAtRest = true
    return true
  }
}

extension IOUring {
  /// Makes rings for threads to take: before a process is confined, because a filter that lets it make rings lets it do by them what it
  /// forbids.
  ///
  /// - Parameter depths: How many requests each may have in flight.
  /// - Returns: As many; with nothing inside where the kernel has no io_uring, is too old to restrict it, or forbids it.
  public static func reserve(_ depths: [Int]) throws(SystemError) -> [Handover<IOUring>] {
    var rings: [Handover<IOUring>] = []
    for depth in depths {
      do { rings.append(Handover(try IOUring(depth: depth))) } catch {
        guard [ENOSYS, EPERM, EACCES, EINVAL].contains(error.code) else { throw error }
        rings.append(Handover(nil))
      }
    }
    return rings
  }
}
