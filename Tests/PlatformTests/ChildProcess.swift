import Glibc
import Platform

private typealias Fork = @convention(c) () -> pid_t

/// Runs `body` in a forked child, which ends with it, and returns the child's wait status.
///
/// Only for bodies that do system calls: the other threads of the process do not exist in the child.
func inChildProcess(_ body: () -> Void) throws(SystemError) -> Int32 {
  // `fork` is hidden from Swift, rightly so for anything but this.
  guard let symbol = unsafe dlsym(nil, "fork") else { throw SystemError("find fork", code: ENOSYS) }
  let child = unsafe unsafeBitCast(symbol, to: Fork.self)()
  if child == 0 {
    body()
    _exit(0)
  }
  var status: Int32 = 0
  try retrying("wait for a child") { unsafe Int(waitpid(child, &status, 0)) }
  return status
}
