public import GuestMemory

/// Which guest-physical addresses are RAM and which belong to PCI, for one amount of RAM.
public struct X86AddressMap: Equatable, Sendable {
  /// All RAM, in bytes.
  public let ramSize: UInt64
  /// RAM from 0 on, up to the hole at `X86Layout.pciWindow32`.
  public let lowRAM: Range<UInt64>
  /// RAM from 4 GiB on: what the hole displaced. Empty when all fits below.
  public let highRAM: Range<UInt64>
  /// Images of persistent memory, in the order in which they were asked for, above all RAM and close to it: Linux, with a randomized layout,
  /// keeps room for what is near. Each begins at a multiple of `persistentMemoryAlignment`.
  public let persistentMemory: [Range<UInt64>]
  /// Window for 64-bit BARs, above all RAM and persistent memory. Its size is a power of two and it begins at a multiple of its size, so a BAR of any size that
  /// fits has an aligned place.
  public let pciWindow64: Range<UInt64>

  /// No larger than this, so that with usual amounts of RAM the window ends below 1012 GiB, where AMD processors reserve 12 GiB.
  static let largestWindow: UInt64 = 1 << 38
  static let smallestWindow: UInt64 = 1 << 28
  /// Older kernels take persistent memory only from whole sections of their memory map: 128 MiB.
  static let persistentMemoryAlignment: UInt64 = 128 << 20

  /// Lays out the guest.
  ///
  /// - Parameters:
  ///   - ramSize: Bytes of RAM, at least 1 MiB and a multiple of 4096.
  ///   - persistentMemory: Bytes of each image of persistent memory, multiples of 4096.
  ///   - physicalAddressBits: How many address bits the host's processor has (CPUID 0x80000008), 36 to 52.
  /// - Throws: `BootError.addressMap`.
  public init(ramSize: UInt64, persistentMemory sizes: [UInt64] = [], physicalAddressBits: Int) throws(BootError) {
    guard ramSize >= X86Layout.firstKernelAddress else { throw .addressMap(.tooSmall(bytes: ramSize)) }
    guard ramSize % 4096 == 0 else { throw .addressMap(.notPages(bytes: ramSize)) }
    guard (36...52).contains(physicalAddressBits) else { throw .addressMap(.badAddressBits(physicalAddressBits)) }
    let limit = UInt64(1) << UInt64(physicalAddressBits)
    let low = min(ramSize, X86Layout.pciWindow32.lowerBound)
    let (highEnd, overflow) = X86Layout.fourGiB.addingReportingOverflow(ramSize - low)
    guard !overflow, highEnd <= limit, X86AddressMap.window(above: highEnd, limit: limit) != nil else {
      throw .addressMap(.tooLarge(bytes: ramSize, limit: limit))
    }
    let places = try X86AddressMap.places(of: sizes, above: highEnd, limit: limit)
    guard let window = X86AddressMap.window(above: places.last?.upperBound ?? highEnd, limit: limit) else {
      throw .addressMap(.noRoomForPersistentMemory(index: max(0, sizes.count - 1), limit: limit))
    }
    self.ramSize = ramSize
    lowRAM = 0..<low
    highRAM = X86Layout.fourGiB..<highEnd
    persistentMemory = places
    pciWindow64 = window
  }

  /// Places one after the other, from `start` on; `start` and `limit` are at most 2^52.
  private static func places(of sizes: [UInt64], above start: UInt64, limit: UInt64) throws(BootError) -> [Range<UInt64>] {
    var places: [Range<UInt64>] = []
    var end = start
    for (index, size) in sizes.enumerated() {
      let base = (end + (persistentMemoryAlignment - 1)) / persistentMemoryAlignment * persistentMemoryAlignment
      guard base <= limit, size <= limit - base else { throw .addressMap(.noRoomForPersistentMemory(index: index, limit: limit)) }
      end = base + size
      places.append(base..<end)
    }
    return places
  }

  /// The largest aligned power of two between `start` and `limit`, which both are at most 2^52.
  private static func window(above start: UInt64, limit: UInt64) -> Range<UInt64>? {
    var size = largestWindow
    while size >= smallestWindow {
      let base = (start + size - 1) / size * size
      if base + size <= limit { return base..<base + size }
      size /= 2
    }
    return nil
  }

  /// The pieces of RAM, for `GuestMemory(regions:)`.
  public var ramRegions: [(base: GuestAddress, size: UInt64)] {
    [lowRAM, highRAM].filter { !$0.isEmpty }.map { (GuestAddress($0.lowerBound), $0.upperBound - $0.lowerBound) }
  }

  /// Whether all of `start..<end` is RAM.
  func isRAM(start: UInt64, end: UInt64) -> Bool {
    [lowRAM, highRAM].contains { start >= $0.lowerBound && start <= end && end <= $0.upperBound }
  }

  /// The memory map for the kernel, by rising address (ACPI 6, "System Address Map Interfaces").
  ///
  /// Where RAM holds tables that the kernel must keep it is reserved, as is configuration space, which Linux demands before it uses it.
  public var e820: [E820Entry] {
    var entries: [E820Entry] = [
      E820Entry(0..<X86Layout.ebda.lowerBound, .ram),
      E820Entry(X86Layout.ebda, .reserved),
      E820Entry(X86Layout.acpi.lowerBound..<X86Layout.smbios.upperBound, .reserved),
      E820Entry(X86Layout.firstKernelAddress..<lowRAM.upperBound, .ram),
      E820Entry(X86Layout.ecam, .reserved),
      E820Entry(X86Layout.identityMap..<X86Layout.tss + 3 * 4096, .reserved),
      E820Entry(highRAM, .ram),
    ]
    entries.removeAll { $0.range.isEmpty }
    return entries
  }
}

/// One line of the memory map that the kernel gets.
public struct E820Entry: Equatable, Sendable {
  /// What the addresses are good for.
  public enum Kind: UInt32, Sendable {
    /// Memory that the kernel may use.
    case ram = 1
    /// Not to be touched, or not memory.
    case reserved = 2
  }

  /// The guest-physical addresses.
  public let range: Range<UInt64>
  /// What they are good for.
  public let kind: Kind

  init(_ range: Range<UInt64>, _ kind: Kind) {
    self.range = range
    self.kind = kind
  }

  var size: UInt64 { range.upperBound - range.lowerBound }
}
