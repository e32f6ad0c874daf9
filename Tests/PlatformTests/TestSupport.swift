import Glibc
import Platform

/// A pipe whose ends close with it.
struct TestPipe: ~Copyable {
  let readEnd: OwnedDescriptor
  let writeEnd: OwnedDescriptor

  init() throws(SystemError) {
    var ends: [Int32] = [0, 0]
    try retrying("pipe") { unsafe Int(pipe(&ends)) }
    readEnd = OwnedDescriptor(owning: ends[0])
    writeEnd = OwnedDescriptor(owning: ends[1])
  }

  /// What can be read within ten milliseconds; at most 64 KiB.
  func readAvailable() -> [UInt8] {
    var entry = pollfd(fd: readEnd.number, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, 10) == 1 ? readSome(readEnd.number) ?? [] : []
  }
}

/// Waits for data and reads at most 64 KiB; `nil` at the end.
func readSome(_ descriptor: Int32) -> [UInt8]? {
  var buffer = [UInt8](repeating: 0, count: 64 << 10)
  let count = unsafe read(descriptor, &buffer, buffer.count)
  return count > 0 ? Array(buffer.prefix(count)) : nil
}

/// A directory that goes with its files.
struct TestDirectory: ~Copyable {
  let path: String

  init() throws(SystemError) {
    var template = Array("/tmp/crosvm-test-XXXXXX".utf8CString)
    path = try unsafe template.withUnsafeMutableBufferPointer { buffer throws(SystemError) -> String in
      guard let start = buffer.baseAddress, let made = unsafe mkdtemp(start) else { throw SystemError.last("make a directory") }
      return unsafe String(cString: made)
    }
  }

  func read(_ name: String) throws(SystemError) -> [UInt8] {
    let file = try OwnedDescriptor.open(path + "/" + name, flags: O_RDONLY)
    let bytes = readSome(file.number) ?? []
    _ = consume file
    return bytes
  }

  deinit {
    for name in ["log", "fifo", "socket"] { unsafe unlink(path + "/" + name) }
    unsafe rmdir(path)
  }
}
