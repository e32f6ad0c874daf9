internal import Glibc

/// A count that threads of this process wait for (sem_overview(7)).
@safe public final class Semaphore: @unchecked Sendable {
  // The C library wants it at one address; its functions may be called by any thread.
  private let semaphore: UnsafeMutablePointer<sem_t>

  /// Makes a semaphore with a count of zero.
  public init() {
    unsafe semaphore = .allocate(capacity: 1)
    unsafe sem_init(semaphore, 0, 0)
  }

  deinit {
    unsafe sem_destroy(semaphore)
    unsafe semaphore.deallocate()
  }

  /// Adds one to the count.
  public func signal() { unsafe sem_post(semaphore) }

  /// Waits until the count is not zero, and takes one from it.
  public func wait() { while unsafe sem_wait(semaphore) != 0 && errno == EINTR {} }
}
