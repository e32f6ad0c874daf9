import CLinux
import DiskImage
import DiskImageTesting
import Glibc
import Platform
import Testing

extension SynchronousDisk {
  /// Reads bytes, however many pieces they are in.
  func bytes(_ offset: Int, _ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xee, count: count)
    try unsafe bytes.withUnsafeMutableBytes { try unsafe all(isWrite: false, $0.baseAddress, offset, count) }
    return bytes
  }

  /// Writes bytes.
  func store(_ bytes: [UInt8], at offset: Int) throws {
    var bytes = bytes
    try unsafe bytes.withUnsafeMutableBytes { try unsafe all(isWrite: true, $0.baseAddress, offset, $0.count) }
  }

  private func all(isWrite: Bool, _ base: UnsafeMutableRawPointer?, _ offset: Int, _ count: Int) throws {
    var done = 0
    while done < count, let base = unsafe base {
      var vector = unsafe iovec(iov_base: base + done, iov_len: count - done)
      let result = unsafe withUnsafeMutablePointer(to: &vector) {
        unsafe transfer(isWrite: isWrite, vectors: BufferVectors(first: $0, count: 1), offset: UInt64(offset + done), isDurable: false)
      }
      guard result > 0 else { throw SystemError(isWrite ? "write" : "read", code: Int32(-result)) }
      done += result
    }
  }
}

/// Opens a qcow2 file by its path, as a program with the user's permission does.
func openQcow2(_ path: String, readOnly: Bool = false, backing: Bool = false) throws -> Qcow2Image {
  var options = ImageFiles.Options()
  options.format = .qcow2
  options.isReadOnly = readOnly
  options.allowsBacking = backing
  options.isLocked = false
  return try #require(try ImageFiles.open(path: path, options: options).assemble() as? Qcow2Image)
}

/// Numbers that look random and are the same each time.
struct Dice {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

  mutating func below(_ limit: Int) -> Int {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return Int(state >> 11) % max(1, limit)
  }
}
