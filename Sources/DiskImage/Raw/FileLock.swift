internal import CLinux
internal import Glibc
internal import Platform

/// Locks that belong to an open file, not to a process (open-file-description locks, fcntl(2)), so that QEMU understands them.
///
/// QEMU locks single bytes, each shared: byte 100 + N of a file on which it makes use of permission N, and 200 + N where it does not let others
/// have permission N. Whoever wants to know asks whether the byte could be locked exclusively. Permission 0 is to read what nobody
/// changes, 1 to write, 3 to change the size.
///
/// A reader does the same here. A writer has the whole file exclusively, which no other lock goes with.
enum FileLock {
  private enum Byte {
    static let reads = 100
    static let writes = 101
    static let resizes = 103
    static let unsharedReads = 200
    static let unsharedWrites = 201
    static let unsharedResizes = 203
  }

  /// How often a lock is tried, and how long it takes until the next time, in microseconds.
  private static let tries = (count: 50, interval: UInt32(10_000))

  /// Takes a lock.
  ///
  /// Waits a little for one that is about to go: the last user may be ending, and a program that another thread is starting has this process's
  /// descriptors, their locks included, until it runs.
  ///
  /// - Throws: `DiskError.inUse` or `cannotLock`; locks that were taken go when the file is closed.
  static func take(_ number: Int32, _ path: String, writing: Bool) throws(DiskError) {
    for attempt in 1...tries.count {
      do throws(SystemError) { return try takeOnce(number, path, writing: writing) } catch {
        guard error.code == EAGAIN || error.code == EACCES else { throw .cannotLock(path, error) }
        if attempt < tries.count { usleep(tries.interval) }
      }
    }
    throw .inUse(path, writing: writing)
  }

  private static func takeOnce(_ number: Int32, _ path: String, writing: Bool) throws(SystemError) {
    guard !writing else { return try set(F_WRLCK, number, path, from: 0, count: 0) }
    // First taken, then looked: of two that come at once, both may be refused, but not both get in.
    for byte in [Byte.reads, Byte.unsharedWrites, Byte.unsharedResizes] { try set(F_RDLCK, number, path, from: byte, count: 1) }
    for byte in [Byte.writes, Byte.resizes, Byte.unsharedReads] {
      guard try isFree(byte, number, path) else { throw SystemError("lock \(path)", code: EAGAIN) }
    }
  }

  private static func range(_ type: Int32, from byte: Int, count: Int) -> flock {
    var lock = flock()
    lock.l_type = Int16(type)
    lock.l_whence = Int16(SEEK_SET)
    lock.l_start = byte
    lock.l_len = count
    return lock
  }

  /// - Parameter count: Zero for all up to the end, wherever that will be.
  private static func set(_ type: Int32, _ number: Int32, _ path: String, from byte: Int, count: Int) throws(SystemError) {
    var lock = range(type, from: byte, count: count)
    try retrying("lock \(path)") { unsafe Int(clinux_fcntl_pointer(number, clinux_F_OFD_SETLK, &lock)) }
  }

  /// Whether no other open file has a lock on a byte.
  private static func isFree(_ byte: Int, _ number: Int32, _ path: String) throws(SystemError) -> Bool {
    var lock = range(F_WRLCK, from: byte, count: 1)
    try retrying("look for locks of \(path)") { unsafe Int(clinux_fcntl_pointer(number, clinux_F_OFD_GETLK, &lock)) }
    return lock.l_type == Int16(F_UNLCK)
  }
}
