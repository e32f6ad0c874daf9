internal import Platform

/// The filter as one queue's thread sees it: a copy, taken anew when the driver has changed it.
struct FilterReader {
  /// Ethernet's number of a VLAN's tag, as what follows a frame's addresses. Drivers say nothing of those of providers (802.1ad), which are
  /// judged by their address alone.
  private static let vlanTag: UInt16 = 0x8100

  /// Where the fields of a frame are behind its header.
  private enum Place {
    static let destination = NetHeader.size
    static let kind = NetHeader.size + 12
    static let tag = NetHeader.size + 14
    static let end = NetHeader.size + 16
  }

  private let shared: SharedFilter
  private var version: Int
  private var filter: ReceiveFilter

  init(_ shared: SharedFilter) {
    self.shared = shared
    (filter, version) = shared.current
  }

  /// Looks whether the driver has changed its mind.
  mutating func refresh() {
    if shared.version != version { (filter, version) = shared.current }
  }

  /// Whether the driver wants the frame that lies in the buffers, header first.
  func accepts(_ buffers: FrameBuffers, count: Int) -> Bool {
    if filter.acceptsAll { return true }
    guard count >= Place.kind + 2 else { return false }
    let high = UInt64(buffers.load16(at: Place.destination).byteSwapped)
    let middle = UInt64(buffers.load16(at: Place.destination + 2).byteSwapped)
    let low = UInt64(buffers.load16(at: Place.destination + 4).byteSwapped)
    let kind = buffers.load16(at: Place.kind).byteSwapped
    var vlan: UInt16?
    if kind == FilterReader.vlanTag {
      guard count >= Place.end else { return false }
      vlan = buffers.load16(at: Place.tag).byteSwapped & 0xfff
    }
    return filter.accepts(MACAddress(rawValue: high << 32 | middle << 16 | low), vlan: vlan)
  }
}
