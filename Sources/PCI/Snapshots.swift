internal import Interrupts
internal import Platform
internal import Synchronization

extension PCIConfigurationSpace {
  /// The registers' contents, for `restore`.
  public func snapshot() -> [UInt8] { bytes }

  /// Takes over the writable bits from `snapshot` of a function with the same fixed registers.
  ///
  /// - Throws: `badState` when the snapshot has another length or belongs to another kind of function; nothing is changed then.
  public mutating func restore(_ state: [UInt8]) throws(PCIError) {
    guard state.count == bytes.count else { throw .badState("there are \(state.count) bytes of registers") }
    // The status register's interrupt bit follows the device, not the snapshot.
    for (offset, byte) in state.enumerated() where offset != Register.status && (byte ^ bytes[offset]) & ~writable[offset] != 0 {
      throw .badState("register byte 0x\(String(offset, radix: 16)) differs")
    }
    for (offset, byte) in state.enumerated() { bytes[offset] = bytes[offset] & ~writable[offset] | byte & writable[offset] }
  }
}

extension MSIX {
  /// The table and the pending bits, for `restore`.
  public func snapshot() -> [UInt8] {
    var writer = ByteWriter()
    writer.put(UInt16(vectors.count))
    for vector in vectors {
      let (message, isMasked, isPending) = vector.state.withLock { ($0.message, $0.isMasked, $0.isPending) }
      writer.put(message.address)
      writer.put(message.data)
      writer.put(isMasked)
      writer.put(isPending)
    }
    return writer.bytes
  }

  /// Takes over table and pending bits, then the message control word from the function's registers.
  ///
  /// - Throws: `PCIError.badState` when the snapshot is of another number of vectors, or `MalformedBytes`; nothing is changed then.
  public func restore(_ state: [UInt8], from space: PCIConfigurationSpace, capability: Int) throws {
    var reader = ByteReader(state)
    guard Int(try reader.get(UInt16.self)) == vectors.count else { throw PCIError.badState("it has another number of vectors") }
    var entries: [(message: InterruptMessage, isMasked: Bool, isPending: Bool)] = []
    for _ in vectors {
      let message = InterruptMessage(address: try reader.get(UInt64.self) & ~3, data: try reader.get(UInt32.self))
      entries.append((message, try reader.getBool(), try reader.getBool()))
    }
    try reader.finish()
    setControl(0)
    for (vector, entry) in zip(vectors, entries) {
      change(vector) { state in (state.message, state.isMasked, state.isPending) = entry }
    }
    update(from: space, capability: capability)
  }
}
