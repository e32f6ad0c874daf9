internal import CLinux
internal import Glibc
internal import Platform

/// How much of the host a device's process may take (getrlimit(2)).
enum ResourceLimits {
  /// The most descriptors: queues, vectors and what the device has open.
  private static let descriptors: UInt = 512
  /// The most threads: those of the queues and a few more.
  private static let threads: UInt = 64
  /// The most memory beside the guest's and what the device's user granted it, in bytes: far more than a device of this project uses.
  private static let memory: UInt = 1 << 30

  /// Sets them.
  ///
  /// - Parameters:
  ///   - guestMemory: The bytes of the guest's memory, all of which the process maps.
  ///   - extraMemory: How many bytes the device may take beyond what every device may.
  ///   - extraDescriptors: How many descriptors the device may have beyond what every device needs.
  static func apply(guestMemory: UInt, extraMemory: UInt, extraDescriptors: Int) throws(SystemError) {
    try set(__rlimit_resource_t(RLIMIT_CORE.rawValue), 0, "core dumps")
    try set(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), descriptors + UInt(clamping: extraDescriptors), "descriptors")
    let (own, isHuge) = extraMemory.addingReportingOverflow(memory)
    let (all, overflow) = guestMemory.addingReportingOverflow(own)
    try set(__rlimit_resource_t(RLIMIT_AS.rawValue), isHuge || overflow ? .max : all, "memory")
    try set(clinux_RLIMIT_MSGQUEUE, 0, "message queues")
    try set(clinux_RLIMIT_RTPRIO, 0, "priority")
    try set(clinux_RLIMIT_SIGPENDING, 64, "signals")
    if countsByNamespace { try set(clinux_RLIMIT_NPROC, threads, "threads") }
  }

  /// Lets malloc have a few arenas, and no more for more threads: it would look in a file for the number of the host's processors. Nothing
  /// allocates on a data path.
  static func limitArenas(_ count: Int32) { _ = mallopt(M_ARENA_MAX, count) }

  /// Whether the threads of a user are counted for each user namespace (Linux 5.14); before, those outside would be counted, too.
  private static var countsByNamespace: Bool {
    var name = utsname()
    guard unsafe uname(&name) == 0 else { return false }
    let release = unsafe withUnsafeBytes(of: &name.release) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let numbers = release.split(separator: ".").prefix(2).map { Int($0.prefix { $0.isNumber }) ?? 0 }
    return numbers.count == 2 && (numbers[0], numbers[1]) >= (5, 14)
  }

  private static func set(_ resource: __rlimit_resource_t, _ limit: UInt, _ name: String) throws(SystemError) {
    var current = rlimit()
    _ = unsafe getrlimit(resource, &current)
    // A limit of the user's that is lower stays.
    var wanted = rlimit(rlim_cur: min(limit, current.rlim_max), rlim_max: min(limit, current.rlim_max))
    if unsafe setrlimit(resource, &wanted) < 0 { throw SystemError.last("limit \(name)") }
  }
}
