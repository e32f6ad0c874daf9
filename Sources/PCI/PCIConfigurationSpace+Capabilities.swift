extension PCIConfigurationSpace {
  /// Appends a capability to the list (PCI 3.0, section 6.7).
  ///
  /// - Parameters:
  ///   - id: The capability's number.
  ///   - body: The bytes after the link, from the capability's third byte on.
  ///   - writable: Which bits of `body` a guest may write; shorter means none of the rest.
  /// - Returns: The capability's offset in configuration space.
  /// - Throws: `PCIError.badCapability` when the 192 bytes behind the header are used up.
  @discardableResult
  public mutating func addCapability(id: UInt8, body: [UInt8], writable mask: [UInt8] = []) throws(PCIError) -> Int {
    let offset = nextCapability
    guard offset + 2 + body.count <= PCIConfigurationSpace.size else { throw .badCapability(id: id, reason: "there is no room left") }
    guard mask.count <= body.count else { throw .badCapability(id: id, reason: "it is shorter than its mask") }
    bytes[offset] = id
    bytes.replaceSubrange((offset + 2)..<(offset + 2 + body.count), with: body)
    writable.replaceSubrange((offset + 2)..<(offset + 2 + mask.count), with: mask)
    bytes[capabilityLink] = UInt8(offset)
    capabilityLink = offset + 1
    nextCapability = (offset + 2 + body.count + 3) & ~3
    bytes[Register.status] |= 0x10
    return offset
  }

  /// Reads four bytes that the device placed, such as a capability's field; zero outside the function's 256 bytes.
  public func field(_ offset: Int) -> UInt32 {
    PCIConfigurationSpace.isAccess(offset, 4) ? get(offset) : 0
  }

  /// Changes four bytes that the guest sees, whatever their masks; ignored outside the function's 256 bytes.
  public mutating func setField(_ offset: Int, _ value: UInt32) {
    if PCIConfigurationSpace.isAccess(offset, 4), offset < PCIConfigurationSpace.size { set(offset, value) }
  }
}
