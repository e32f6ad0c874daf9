internal import PCI

/// Where the parts of the transport are in the device's one range of memory, register 0.
enum VirtioPCILayout {
  /// The number of the base address register.
  static let bar = 0
  /// The size of the range in bytes.
  static let size: UInt64 = 0x8000
  static let common: UInt64 = 0x0
  static let interruptStatus: UInt64 = 0x1000
  static let device: UInt64 = 0x2000
  static let notify: UInt64 = 0x3000
  static let vectorTable: UInt64 = 0x6000
  static let pendingBits: UInt64 = 0x7000

  static let deviceSize: UInt64 = 0x1000
  /// The distance between two queues' notification addresses.
  static let notifyMultiplier: UInt64 = 4
  /// So many queues have notification addresses before the vectors' table begins.
  static let maximumQueueCount = Int((vectorTable - notify) / notifyMultiplier)
  /// So many vectors have entries before the pending bits begin.
  static let maximumVectorCount = Int(pendingBits - vectorTable) / MSIX.entrySize

  /// A part of the range, with the offset in it.
  enum Place: Equatable {
    case common(UInt64)
    case interruptStatus
    case device(UInt64)
    case notify(UInt64)
    case vectorTable(UInt64)
    case pendingBits(UInt64)
  }

  /// Finds the part that an access lies in; `nil` where there is none or the access runs from one part into the next.
  static func place(_ offset: UInt64, _ width: Int) -> Place? {
    guard (1...8).contains(width), offset < size else { return nil }
    let end = offset + UInt64(width)
    return switch offset {
    case common..<CommonConfiguration.size where end <= CommonConfiguration.size: .common(offset - common)
    case interruptStatus: .interruptStatus
    case device..<notify where end <= notify: .device(offset - device)
    case notify..<vectorTable where end <= vectorTable: .notify(offset - notify)
    case vectorTable..<pendingBits where end <= pendingBits: .vectorTable(offset - vectorTable)
    case pendingBits..<size where end <= size: .pendingBits(offset - pendingBits)
    default: nil
    }
  }

  /// Where a queue's notifications go, from the start of the range.
  static func notifyOffset(queue: Int) -> UInt64 { notify + UInt64(queue) * notifyMultiplier }
}
