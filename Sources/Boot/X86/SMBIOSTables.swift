/// What `dmidecode` shows of the machine (DMTF DSP0134, System Management BIOS 3.2): firmware, system, chassis, processor, memory.
struct SMBIOSTables {
  var processors: Int
  var map: X86AddressMap
  /// 16 bytes in RFC 4122's order.
  var uuid: [UInt8]

  /// Handles by which structures name each other.
  private enum Handle {
    static let firmware: UInt16 = 0x0000
    static let system: UInt16 = 0x0100
    static let chassis: UInt16 = 0x0300
    static let processor: UInt16 = 0x0400
    static let memoryArray: UInt16 = 0x1000
    static let memoryDevice: UInt16 = 0x1100
    static let mappedLow: UInt16 = 0x1300
    static let mappedHigh: UInt16 = 0x1301
    static let end: UInt16 = 0x7f00
    static let none: UInt16 = 0xfffe
  }

  private static let entrySize: UInt64 = 24
  private static let structuresOffset: UInt64 = 32

  /// The entry point and behind it the structures, for guest memory at `address`, a multiple of 16.
  func bytes(at address: UInt64) -> [UInt8] {
    let structures = [firmware(), system(), chassis(), processor(), memoryArray(), memoryDevice()] + mappedMemory() + [end()]
    let content = structures.flatMap { $0 }
    var entry = TableBytes()
    entry.append(text: "_SM3_", width: 5)
    entry.append(UInt8(0))  // checksum
    entry.append(UInt8(SMBIOSTables.entrySize))
    entry.append(bytes: [3, 2, 0])  // version 3.2
    entry.append(UInt8(1))  // entry point revision
    entry.append(UInt8(0))
    entry.append(UInt32(content.count))
    entry.append(address + SMBIOSTables.structuresOffset)
    entry.setChecksum(at: 5)
    entry.append(zeros: Int(SMBIOSTables.structuresOffset) - entry.count)
    return entry.bytes + content
  }

  /// A structure: type, length and handle before its fields, and its strings behind them, each ending in a NUL, and one more NUL.
  private func structure(_ type: UInt8, _ handle: UInt16, strings: [String] = [], _ fill: (inout TableBytes) -> Void) -> [UInt8] {
    var fields = TableBytes()
    fill(&fields)
    var whole = TableBytes()
    whole.append(type)
    whole.append(UInt8(clamping: fields.count + 4))
    whole.append(handle)
    whole.append(bytes: fields.bytes)
    for string in strings { whole.append(bytes: Array(string.utf8) + [0]) }
    whole.append(zeros: strings.isEmpty ? 2 : 1)
    return whole.bytes
  }

  /// 7.1, BIOS information.
  private func firmware() -> [UInt8] {
    structure(0, Handle.firmware, strings: ["crosvm", "0", "01/01/2000"]) { fields in
      fields.append(bytes: [1, 2])  // vendor, version
      fields.append(UInt16(0xf000))  // starting segment
      fields.append(bytes: [3, 0])  // date, 64 KiB
      fields.append(UInt64(1 << 3))  // no characteristics reported
      fields.append(bytes: [0, 1 << 4])  // a virtual machine
      fields.append(bytes: [0xff, 0xff, 0xff, 0xff])  // no release numbers
      fields.append(UInt16(0))  // size in full: not more than the field above says
    }
  }

  /// 7.2, system information.
  private func system() -> [UInt8] {
    structure(1, Handle.system, strings: ["crosvm", "crosvm", "1"]) { fields in
      fields.append(bytes: [1, 2, 3, 0])  // manufacturer, product, version, no serial number
      fields.append(bytes: littleEndianUUID)
      fields.append(bytes: [6, 0, 0])  // woken by the power switch; no SKU, no family
    }
  }

  /// SMBIOS stores the first three fields of a UUID little-endian (7.2.1).
  private var littleEndianUUID: [UInt8] {
    guard uuid.count == 16 else { return [UInt8](repeating: 0, count: 16) }
    return uuid[0..<4].reversed() + uuid[4..<6].reversed() + uuid[6..<8].reversed() + uuid[8..<16]
  }

  /// 7.4, system enclosure.
  private func chassis() -> [UInt8] {
    structure(3, Handle.chassis, strings: ["crosvm"]) { fields in
      fields.append(bytes: [1, 1, 0, 0, 0])  // manufacturer; type "other"; no version, serial number, asset tag
      fields.append(bytes: [3, 3, 3, 2])  // boot, power, thermal state "safe"; security "unknown"
      fields.append(UInt32(0))
      fields.append(bytes: [0, 0, 0, 0, 0])  // height, cords, contained elements, their size; no SKU
    }
  }

  /// 7.5, processor information: one package with a core a vCPU.
  private func processor() -> [UInt8] {
    let cores = UInt8(clamping: processors)
    return structure(4, Handle.processor, strings: ["CPU 0", "crosvm"]) { fields in
      fields.append(bytes: [1, 3, 2, 2])  // socket; central processor; family "unknown"; manufacturer
      fields.append(UInt64(0))
      fields.append(bytes: [0, 0])  // version, voltage
      fields.append(bytes: [0, 0, 0, 0, 0, 0])  // clock and speeds unknown
      fields.append(bytes: [0x41, 2])  // populated and enabled; upgrade "unknown"
      for _ in 0..<3 { fields.append(UInt16(0xffff)) }  // no cache structures
      fields.append(bytes: [0, 0, 0])  // no serial number, asset tag, part number
      fields.append(bytes: [cores, cores, cores])
      fields.append(UInt16(1 << 2 | 1 << 3))  // 64-bit, multi-core
      fields.append(UInt16(2))  // family "unknown"
      for _ in 0..<3 { fields.append(UInt16(clamping: processors)) }
    }
  }

  /// 7.17, physical memory array.
  private func memoryArray() -> [UInt8] {
    structure(16, Handle.memoryArray) { fields in
      fields.append(bytes: [1, 3, 3])  // location "other"; system memory; no error correction
      fields.append(UInt32(0x8000_0000))  // capacity: see the extended field
      fields.append(Handle.none)
      fields.append(UInt16(1))
      fields.append(map.ramSize)
    }
  }

  /// 7.18, memory device: all RAM as one module.
  private func memoryDevice() -> [UInt8] {
    // MiB up to 32 GiB, then in the extended field; where RAM is not a whole number of MiB, rounded down.
    let size = map.ramSize >> 20
    return structure(17, Handle.memoryDevice, strings: ["DIMM 0", "crosvm"]) { fields in
      fields.append(Handle.memoryArray)
      fields.append(Handle.none)
      for _ in 0..<2 { fields.append(UInt16(0xffff)) }  // widths unknown
      fields.append(size < 0x7fff ? UInt16(truncatingIfNeeded: size) : 0x7fff)
      fields.append(bytes: [9, 0, 1, 0, 7])  // DIMM; no set; locator; no bank; type RAM
      fields.append(UInt16(1 << 1))  // detail "other"
      fields.append(UInt16(0))  // speed unknown
      fields.append(bytes: [2, 0, 0, 0, 0])  // manufacturer; no serial number, asset tag, part number; rank unknown
      fields.append(size < 0x7fff ? UInt32(0) : UInt32(clamping: size))
      fields.append(UInt16(0))  // configured speed unknown
      for _ in 0..<3 { fields.append(UInt16(0)) }  // voltages unknown
    }
  }

  /// 7.20, memory array mapped address: one for each piece of RAM.
  private func mappedMemory() -> [[UInt8]] {
    [(map.lowRAM, Handle.mappedLow), (map.highRAM, Handle.mappedHigh)].filter { !$0.0.isEmpty }.map { range, handle in
      structure(19, handle) { fields in
        fields.append(UInt32.max)  // addresses: see the extended fields
        fields.append(UInt32.max)
        fields.append(Handle.memoryArray)
        fields.append(UInt8(1))
        fields.append(range.lowerBound)
        fields.append(range.upperBound - 1)
      }
    }
  }

  /// 7.45, end of table.
  private func end() -> [UInt8] { structure(127, Handle.end) { _ in } }
}
