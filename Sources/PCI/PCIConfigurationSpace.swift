/// The configuration registers of a function with a header of type 0 (PCI 3.0, section 6.1).
///
/// A value: the device keeps it behind a lock of its own. Every access that a guest can make has an answer.
public struct PCIConfigurationSpace: Sendable {
  /// The bytes that a conventional function has.
  public static let size = 256
  /// The bytes that the memory-mapped access reaches; those behind `size` read as zero.
  public static let extendedSize = 4096

  /// Offsets of the header's fields.
  enum Register {
    static let command = 0x04
    static let status = 0x06
    static let capabilities = 0x34
    static let interruptLine = 0x3c
    static let interruptPin = 0x3d
    static let firstFree = 0x40
  }

  /// The command register's bits that this project gives a meaning (section 6.2.2).
  public struct Command: OptionSet, Sendable {
    /// The register's bits.
    public let rawValue: UInt16
    /// Makes a set from the register's bits.
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// The function answers in its port ranges.
    public static let decodesPorts = Command(rawValue: 1 << 0)
    /// The function answers in its memory ranges.
    public static let decodesMemory = Command(rawValue: 1 << 1)
    /// The function may access memory.
    public static let isBusMaster = Command(rawValue: 1 << 2)
    /// The function must not raise its interrupt line.
    public static let disablesInterruptLine = Command(rawValue: 1 << 10)
  }

  /// What a write has changed, so that the device acts on it.
  public struct Effect: OptionSet, Sendable {
    /// The set's bits.
    public let rawValue: UInt8
    /// Makes a set from its bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// A base address, or whether ranges are decoded: see `BARDecoding.update`.
    public static let decoding = Effect(rawValue: 1)
    /// Whether the interrupt line may be raised.
    public static let interruptLine = Effect(rawValue: 2)
  }

  var bytes = [UInt8](repeating: 0, count: size)
  /// Which bits a write changes.
  var writable = [UInt8](repeating: 0, count: size)
  /// The base address registers, by rising index.
  public internal(set) var bars: [BAR] = []
  var nextCapability = Register.firstFree
  /// Where the byte is that will point at the next capability.
  var capabilityLink = Register.capabilities

  /// Makes the registers of a function that decodes nothing and has no interrupt line.
  public init(identity: PCIIdentity) {
    set(0x00, UInt32(identity.vendor) | UInt32(identity.device) << 16)
    set(0x08, UInt32(identity.revision) | identity.classCode << 8)
    set(0x2c, UInt32(identity.subsystemVendor) | UInt32(identity.subsystem) << 16)
    // Command: ports, memory, bus master, parity response, SERR and the interrupt disable bit.
    writable[0x04] = 0x47
    writable[0x05] = 0x05
    // Cache line size and latency timer have no effect here, but drivers expect to find what they wrote.
    writable[0x0c] = 0xff
    writable[0x0d] = 0xff
  }

  /// Gives the function an interrupt line: the pin register, and a line register that software may write.
  ///
  /// - Parameter pin: 0 for INTA to 3 for INTD; other values mean no pin.
  public mutating func setInterruptPin(_ pin: Int) {
    bytes[Register.interruptPin] = (0...3).contains(pin) ? UInt8(pin + 1) : 0
    writable[Register.interruptLine] = 0xff
  }

  /// The command register.
  public var command: Command { Command(rawValue: UInt16(truncatingIfNeeded: get(Register.command))) }

  /// Sets or clears the status register's interrupt bit: whether the function wants attention, line disabled or not.
  public mutating func setInterruptStatus(_ isPending: Bool) {
    if isPending { bytes[Register.status] |= 0x08 } else { bytes[Register.status] &= ~0x08 }
  }

  /// Answers a load.
  ///
  /// - Parameters:
  ///   - offset: Any value; those from `size` to `extendedSize` read as zero, others as all ones.
  ///   - width: 1, 2 or 4 bytes that lie within one aligned group of four; other accesses read as all ones.
  public func read(offset: Int, width: Int) -> UInt32 {
    guard PCIConfigurationSpace.isAccess(offset, width) else { return .max }
    guard offset < PCIConfigurationSpace.size else { return 0 }
    var value: UInt32 = 0
    for index in 0..<width { value |= UInt32(bytes[offset + index]) << UInt32(8 * index) }
    return value
  }

  /// Takes a store to the writable bits; accesses for which `read` has no value are ignored.
  ///
  /// - Returns: What the device must act on.
  public mutating func write(offset: Int, width: Int, value: UInt32) -> Effect {
    guard PCIConfigurationSpace.isAccess(offset, width), offset < PCIConfigurationSpace.size else { return [] }
    let before = command
    var changed = false
    for index in 0..<width {
      let mask = writable[offset + index]
      let old = bytes[offset + index]
      let new = old & ~mask | UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) & mask
      bytes[offset + index] = new
      changed = changed || new != old
    }
    guard changed else { return [] }
    var effect: Effect = []
    let turned = command.symmetricDifference(before)
    if (0x10..<0x28).contains(offset) || !turned.isDisjoint(with: [.decodesPorts, .decodesMemory]) { effect.insert(.decoding) }
    if turned.contains(.disablesInterruptLine) { effect.insert(.interruptLine) }
    return effect
  }

  /// Whether an access is one that a bus can carry: within an aligned group of four bytes, in the extended space.
  static func isAccess(_ offset: Int, _ width: Int) -> Bool {
    guard offset >= 0, offset < extendedSize else { return false }
    return (width == 1 || width == 2 || width == 4) && (offset & 3) + width <= 4
  }

  /// Reads an aligned group of four bytes of the device's own space; the offset is the device's, not the guest's.
  func get(_ offset: Int) -> UInt32 { read(offset: offset, width: 4) }

  /// Writes four bytes, whatever their masks; for the device itself.
  mutating func set(_ offset: Int, _ value: UInt32) {
    for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
  }
}
