internal import CLinux
internal import Glibc
internal import Platform

/// How much of the host a device's process may take (getrlimit(2)).
enum ResourceLimits {
  /// The most descriptors: queues, vectors and what the device has open.
  private static let descriptors: UInt = 512
  /// The most private memory, in bytes: far more than a device of this project uses. The guest's memory does not count.
  private static let memory: UInt = 1 << 30

  /// Sets them.
  static func apply() throws(SystemError) {
    try set(__rlimit_resource_t(RLIMIT_CORE.rawValue), 0, "core dumps")
    try set(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), descriptors, "descriptors")
    try set(__rlimit_resource_t(RLIMIT_DATA.rawValue), memory, "memory")
    try set(clinux_RLIMIT_MSGQUEUE, 0, "message queues")
    try set(clinux_RLIMIT_RTPRIO, 0, "priority")
    try set(clinux_RLIMIT_SIGPENDING, 64, "signals")
  }

  /// Lets malloc have a few arenas, and no more for more threads: it would look in a file for the number of the host's processors. Nothing
  /// allocates on a data path.
  static func limitArenas(_ count: Int32) { _ = mallopt(M_ARENA_MAX, count) }

  private static func set(_ resource: __rlimit_resource_t, _ limit: UInt, _ name: String) throws(SystemError) {
    var current = rlimit()
    _ = unsafe getrlimit(resource, &current)
    // A limit of the user's that is lower stays.
    var wanted = rlimit(rlim_cur: min(limit, current.rlim_max), rlim_max: min(limit, current.rlim_max))
    if unsafe setrlimit(resource, &wanted) < 0 { throw SystemError.last("limit \(name)") }
  }
}
