import GuestMemory

/// Guest memory of one region from address zero.
func makeMemory(_ size: UInt64) throws(GuestMemoryError) -> GuestMemory { try GuestMemory(regions: [(GuestAddress(0), size)]) }

/// Addresses as plain numbers, as a payload's author thinks of them.
extension GuestMemory {
  func load<T: FixedWidthInteger & BitwiseCopyable>(_ address: UInt64, as type: T.Type) throws(GuestMemoryError) -> T {
    try load(GuestAddress(address), as: type)
  }

  func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at address: UInt64) throws(GuestMemoryError) {
    try store(value, at: GuestAddress(address))
  }

  func read(count: Int, at address: UInt64) throws(GuestMemoryError) -> [UInt8] { try read(count: count, at: GuestAddress(address)) }

  func write(_ bytes: [UInt8], at address: UInt64) throws(GuestMemoryError) { try write(bytes, at: GuestAddress(address)) }

  /// Where the first region begins in this process.
  var hostAddress: UInt64 { regions[0].hostAddress }
}
