import GuestMemory

/// Two regions with a hole between: 0x1000..<0x5000 and 0x10000..<0x12000.
func makeMemory(tracksWrites: Bool = false) throws(GuestMemoryError) -> GuestMemory {
  try GuestMemory(regions: [(GuestAddress(0x1000), 0x4000), (GuestAddress(0x10000), 0x2000)], tracksWrites: tracksWrites)
}

/// The numbers of the pages whose bits are set.
func pages(_ bits: [UInt8]) -> [Int] {
  bits.indices.flatMap { byte in (0..<8).filter { bits[byte] & (1 << UInt8($0)) != 0 }.map { byte * 8 + $0 } }
}
