internal import CLinux
internal import Glibc

/// Tells when somebody changes open files by system calls, their sizes included (inotify(7)). It does not hear of writes through mappings, nor
/// of what another machine does to a file of a network.
public final class FileChanges: Sendable {
  private let descriptor: OwnedDescriptor

  /// Watches nothing yet.
  public init() throws(SystemError) {
    let flags = Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK)
    descriptor = OwnedDescriptor(owning: Int32(try retrying("watch files") { Int(inotify_init1(flags)) }))
  }

  /// The descriptor, lent: readable once a file has changed.
  public var number: Int32 { descriptor.number }

  /// Watches an open file from now on, also when its descriptor is closed.
  public func watch(_ file: Int32) throws(SystemError) {
    let set = descriptor.number
    try retrying("watch a file") { unsafe Int(inotify_add_watch(set, "/proc/self/fd/\(file)", UInt32(IN_MODIFY))) }
  }

  /// Forgets the changes so far; the descriptor is readable again after the next one.
  public func drain() {
    let number = descriptor.number
    unsafe withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
      // Only the kernel touches the buffer; what is in it does not matter.
      while unsafe read(number, buffer.baseAddress, buffer.count) > 0 {}
    }
  }
}
