import GuestMemory
import Testing

@testable import Boot

@Suite("SMBIOS")
struct SMBIOSTests {
  private struct Structure {
    let type: UInt8
    let handle: UInt16
    let fields: [UInt8]
    let strings: [String]
  }

  private func structures(ramSize: UInt64 = 5 << 30, uuid: [UInt8] = []) throws -> [Structure] {
    let map = try X86AddressMap(ramSize: ramSize, physicalAddressBits: 46)
    let bytes = SMBIOSTables(processors: 4, map: map, uuid: uuid).bytes(at: 0xf0000)
    try #require(bytes.text(0, 5) == "_SM3_")
    try #require(Array(bytes[0..<24]).sum == 0)
    try #require(bytes.value(16, as: UInt64.self) == 0xf0020)
    try #require(Int(bytes.value(12, as: UInt32.self)) == bytes.count - 32)
    var (found, offset): ([Structure], Int) = ([], 32)
    while offset < bytes.count {
      let length = Int(bytes[offset + 1])
      var (strings, next): ([String], Int) = ([], offset + length)
      while bytes[next] != 0 {
        let end = try #require(bytes[next...].firstIndex(of: 0))
        strings.append(bytes.text(next, end - next))
        next = end + 1
      }
      next += strings.isEmpty ? 2 : 1
      let fields = Array(bytes[offset..<offset + length])
      found.append(Structure(type: fields[0], handle: fields.value(2), fields: fields, strings: strings))
      offset = next
    }
    return found
  }

  @Test("the structures have the sizes of the specification's version, and handles of their own")
  func shape() throws {
    let structures = try structures()
    #expect(structures.map(\.type) == [0, 1, 3, 4, 16, 17, 19, 19, 127])
    #expect(structures.map(\.fields.count) == [0x1a, 0x1b, 0x16, 0x30, 0x17, 0x28, 0x1f, 0x1f, 4])
    #expect(Set(structures.map(\.handle)).count == structures.count)
  }

  @Test("vendor and product are crosvm")
  func names() throws {
    let structures = try structures()
    #expect(structures[0].strings.first == "crosvm")
    #expect(structures[1].strings.prefix(2) == ["crosvm", "crosvm"])
  }

  @Test("every number of a string is that of one")
  func strings() throws {
    let places: [UInt8: [Int]] = [
      0: [4, 5, 8], 1: [4, 5, 6, 7, 25, 26], 3: [4, 6, 7, 8, 21], 4: [4, 7, 16, 32, 33, 34], 17: [16, 17, 23, 24, 25, 26],
    ]
    for structure in try structures() {
      let used = (places[structure.type] ?? []).map { Int(structure.fields[$0]) }
      #expect(used.max() ?? 0 == structure.strings.count, "type \(structure.type)")
    }
  }

  @Test("memory is told in MiB, from 32 GiB on in the wider field, and by address", arguments: [64 << 20, 5 << 30, 40 << 30] as [UInt64])
  func memory(ramSize: UInt64) throws {
    let structures = try structures(ramSize: ramSize)
    let device = try #require(structures.first { $0.type == 17 }).fields
    let mebibytes = ramSize >> 20
    #expect(UInt64(device.value(12, as: UInt16.self)) == min(mebibytes, 0x7fff))
    #expect(UInt64(device.value(28, as: UInt32.self)) == (mebibytes < 0x7fff ? 0 : mebibytes))
    let mapped = structures.filter { $0.type == 19 }.map { $0.fields.value(23, as: UInt64.self) - $0.fields.value(15, as: UInt64.self) + 1 }
    #expect(mapped.reduce(0, +) == ramSize)
  }

  @Test("the UUID's first three fields are little-endian")
  func uuid() throws {
    let fields = try structures(uuid: Array(1...16))[1].fields
    #expect(Array(fields[8..<24]) == [4, 3, 2, 1, 6, 5, 8, 7, 9, 10, 11, 12, 13, 14, 15, 16])
  }

  @Test("the entry point is where the kernel looks for it")
  func place() throws {
    let guest = try GuestFixture()
    _ = try guest.prepare(BzImageFixture().bytes)
    #expect(try guest.bytes(5, at: 0xf0000) == Array("_SM3_".utf8))
  }
}
