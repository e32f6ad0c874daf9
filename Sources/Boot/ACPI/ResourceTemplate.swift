/// A list of resources in the form of `ResourceTemplate () { ... }` (ACPI 6.5, 6.4).
struct ResourceTemplate {
  private var table = TableBytes()

  /// The list as a buffer in machine language, with its end tag; checksum 0 means "not computed".
  var encoded: [UInt8] { AML.buffer(table.bytes + [0x79, 0x00]) }

  /// `IO (Decode16, first, first, 1, count)`.
  mutating func addPorts(_ first: UInt16, count: UInt8) {
    table.append(bytes: [0x47, 1])
    table.append(first)
    table.append(first)
    table.append(bytes: [1, count])
  }

  /// `IRQNoFlags () {line}`: edge-triggered, active high; `line` is 0 to 15.
  mutating func addInterrupt(_ line: UInt8) {
    table.append(UInt8(0x22))
    table.append(UInt16(1) << UInt16(line & 0xf))
  }

  /// `Memory32Fixed (ReadWrite, ...)` for addresses below 4 GiB.
  mutating func addFixedMemory(_ range: Range<UInt64>) {
    table.append(UInt8(0x86))
    table.append(UInt16(9))
    table.append(UInt8(1))
    table.append(UInt32(truncatingIfNeeded: range.lowerBound))
    table.append(UInt32(truncatingIfNeeded: range.upperBound - range.lowerBound))
  }

  /// What a window hands on to the devices behind a bridge, with the type-specific flags.
  private enum Window: UInt8 {
    case memory = 0
    case ports = 1
    case buses = 2

    /// Memory: writable, not cacheable. Ports: the whole range, ISA's too.
    var flags: UInt8 {
      switch self {
      case .memory: 0x01
      case .ports: 0x03
      case .buses: 0x00
      }
    }
  }

  /// `WordBusNumber (ResourceProducer, ...)`.
  mutating func addBusWindow(_ buses: ClosedRange<UInt16>) {
    addWindow(.buses, tag: 0x88, first: buses.lowerBound, last: buses.upperBound)
  }

  /// `WordIO (ResourceProducer, ..., EntireRange, ...)`.
  mutating func addPortWindow(_ ports: ClosedRange<UInt16>) {
    addWindow(.ports, tag: 0x88, first: ports.lowerBound, last: ports.upperBound)
  }

  /// `DWordMemory (ResourceProducer, ..., NonCacheable, ReadWrite, ...)`, for addresses below 4 GiB; not empty.
  mutating func addMemoryWindow32(_ range: Range<UInt64>) {
    addWindow(
      .memory, tag: 0x87, first: UInt32(truncatingIfNeeded: range.lowerBound), last: UInt32(truncatingIfNeeded: range.upperBound - 1))
  }

  /// `QWordMemory (ResourceProducer, ..., NonCacheable, ReadWrite, ...)`; not empty.
  mutating func addMemoryWindow64(_ range: Range<UInt64>) {
    addWindow(.memory, tag: 0x8a, first: range.lowerBound, last: range.upperBound - 1)
  }

  /// An address space descriptor (6.4.3.5): a producer with both ends fixed, addresses the same on both sides.
  private mutating func addWindow<Value: FixedWidthInteger>(_ window: Window, tag: UInt8, first: Value, last: Value) {
    table.append(tag)
    table.append(UInt16(3 + 5 * Value.bitWidth / 8))
    table.append(bytes: [window.rawValue, 0x0c, window.flags])
    table.append(Value(0))  // granularity
    table.append(first)
    table.append(last)
    table.append(Value(0))  // translation
    table.append(last - first + 1)
  }
}
