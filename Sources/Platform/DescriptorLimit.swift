internal import Glibc

/// How many descriptors this process may have open.
public enum DescriptorLimit {
  /// Raises the limit as far as the user may (getrlimit(2)): it is low for the sake of programs that use select(2), of which this is none.
  public static func raise() {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
    limit.rlim_cur = limit.rlim_max
    _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
}
