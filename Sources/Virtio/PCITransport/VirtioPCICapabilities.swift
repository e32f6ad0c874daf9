internal import PCI

/// The vendor capabilities that lead a driver to the parts of the transport (virtio 1.2, section 4.1.4).
struct VirtioPCICapabilities: Sendable {
  /// The offset of the capability through which the range can be reached without mapping it (section 4.1.4.9).
  let window: Int
  /// The offset of the MSI-X capability.
  let msix: Int

  private enum Kind: UInt8 {
    case common = 1
    case notify = 2
    case interruptStatus = 3
    case device = 4
    case window = 5
  }

  private static let vendorID: UInt8 = 0x09

  /// Adds all capabilities to a function's list.
  init(addingTo space: inout PCIConfigurationSpace, queueCount: Int, msix vectors: MSIX) throws(PCIError) {
    typealias Layout = VirtioPCILayout
    try space.addCapability(Kind.common, Layout.common, CommonConfiguration.size)
    try space.addCapability(Kind.interruptStatus, Layout.interruptStatus, 1)
    try space.addCapability(Kind.device, Layout.device, Layout.deviceSize)
    let notifySize = Layout.notifyMultiplier * UInt64(max(queueCount, 1))
    try space.addCapability(Kind.notify, Layout.notify, notifySize, extra: UInt32(Layout.notifyMultiplier))
    // The guest chooses range, offset and length of the window, and reads or writes its data.
    window = try space.addCapability(
      Kind.window, 0, 0, extra: 0, writable: [0, 0, 0xff, 0, 0, 0] + [UInt8](repeating: 0xff, count: 12))
    msix = try vectors.addCapability(
      to: &space, table: MSIX.Place(bar: Layout.bar, offset: UInt32(Layout.vectorTable)),
      pending: MSIX.Place(bar: Layout.bar, offset: UInt32(Layout.pendingBits)))
  }

  /// Where the window's four bytes of data are in configuration space.
  var windowData: Range<Int> { (window + 16)..<(window + 20) }

  /// What the guest has pointed the window at; `nil` unless it is an aligned 1, 2 or 4 bytes of the device's range.
  func windowTarget(in space: PCIConfigurationSpace) -> (offset: UInt64, width: Int)? {
    let bar = space.read(offset: window + 4, width: 1) & 0xff
    let offset = UInt64(space.field(window + 8))
    let length = UInt64(space.field(window + 12))
    guard bar == UInt32(VirtioPCILayout.bar), length == 1 || length == 2 || length == 4, offset % length == 0 else { return nil }
    guard offset < VirtioPCILayout.size else { return nil }
    return (offset, Int(length))
  }
}

extension PCIConfigurationSpace {
  /// Adds a `virtio_pci_cap`: length, kind, register, identifier, two bytes of padding, offset, length; then perhaps one word more.
  @discardableResult
  fileprivate mutating func addCapability<Kind: RawRepresentable<UInt8>>(
    _ kind: Kind, _ offset: UInt64, _ length: UInt64, extra: UInt32? = nil, writable: [UInt8] = []
  ) throws(PCIError) -> Int {
    let words = [UInt32(truncatingIfNeeded: offset), UInt32(truncatingIfNeeded: length)] + (extra.map { [$0] } ?? [])
    let size = UInt8(8 + 4 * words.count)
    let head = [size, kind.rawValue, UInt8(VirtioPCILayout.bar), 0, 0, 0]
    let tail = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    return try addCapability(id: 0x09, body: head + tail, writable: writable)
  }
}
