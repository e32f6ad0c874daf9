public import VsockDevice

/// Packets as a driver writes and reads them.
extension VsockPacket {
  /// The header's bytes.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    func put<T: FixedWidthInteger>(_ value: T) {
      for shift in stride(from: 0, to: T.bitWidth, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> T(shift))) }
    }
    put(source)
    put(destination)
    put(sourcePort)
    put(destinationPort)
    put(length)
    put(kind)
    put(operation)
    put(flags)
    put(allocation)
    put(forwarded)
    return bytes
  }

  /// Reads a header; nil when there are too few bytes.
  public init?(bytes: [UInt8]) {
    guard bytes.count >= VsockPacket.size else { return nil }
    self.init()
    func get<T: FixedWidthInteger>(_ offset: Int, _: T.Type = T.self) -> T {
      (0..<T.bitWidth / 8).reduce(0) { $0 | T(truncatingIfNeeded: bytes[offset + $1]) << T(8 * $1) }
    }
    source = get(0)
    destination = get(8)
    sourcePort = get(16)
    destinationPort = get(20)
    length = get(24)
    kind = get(28)
    operation = get(30)
    flags = get(32)
    allocation = get(36)
    forwarded = get(40)
  }
}
