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

  /// Writes all bytes from another thread.
  func writeInBackground(_ bytes: [UInt8]) throws(SystemError) -> PThread {
    let number = writeEnd.number
    return try PThread(name: "writer") {
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = unsafe rest.withUnsafeBytes { unsafe write(number, $0.baseAddress, $0.count) }
        if count <= 0 { return }
        rest = rest.dropFirst(count)
      }
    }
  }
}
