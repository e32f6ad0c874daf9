internal import Glibc
internal import Platform

extension DescriptorBox {
  /// Sends as much as there is room for now; of a socket with messages one message, or nothing.
  func sendNow(_ bytes: [UInt8]) -> Int {
    guard !bytes.isEmpty else { return 0 }
    return max(0, unsafe send(number, bytes, bytes.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)))
  }

  /// What can be received now.
  func receiveNow(_ limit: Int) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: limit)
    let count = unsafe recv(number, &buffer, limit, Int32(MSG_DONTWAIT))
    return Array(buffer[..<max(0, count)])
  }
}
