internal import CLinux

/// The kernel's generator of random bytes (getrandom(2)).
public enum KernelRandom {
  /// Fills `count` bytes from `start` on, which must be writable; their content before does not matter. Waits only on a host that has
  /// just booted and has no randomness yet.
  @unsafe public static func fill(_ start: UnsafeMutableRawPointer, count: Int) throws(SystemError) {
    var done = 0
    while done < count {
      // In bounds: done < count; the kernel writes at most the rest.
      done += try retrying("take random bytes from the kernel") { unsafe clinux_getrandom(start + done, count - done) }
    }
  }
}
