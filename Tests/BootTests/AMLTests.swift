import Testing

@testable import Boot

@Suite("ACPI machine language")
struct AMLTests {
  @Test("integers take their shortest form")
  func integers() {
    #expect(AML.integer(0) == [0])
    #expect(AML.integer(1) == [1])
    #expect(AML.integer(2) == [0x0a, 2])
    #expect(AML.integer(0xff) == [0x0a, 0xff])
    #expect(AML.integer(0x100) == [0x0b, 0, 1])
    #expect(AML.integer(0x1_0000) == [0x0c, 0, 0, 1, 0])
    #expect(AML.integer(0x1_0000_0000) == [0x0e, 0, 0, 0, 0, 1, 0, 0, 0])
  }

  @Test("names are padded, and joined with the right prefix")
  func names() {
    #expect(AML.name("_HID") == Array("_HID".utf8))
    #expect(AML.name("RTC") == Array("RTC_".utf8))
    #expect(AML.name("\\_S5") == [0x5c] + Array("_S5_".utf8))
    #expect(AML.name("\\_SB.PCI0") == [0x5c, 0x2e] + Array("_SB_PCI0".utf8))
    #expect(AML.name("A.B.C") == [0x2f, 3] + Array("A___B___C___".utf8))
    #expect(AML.name("\\") == [0x5c, 0])
  }

  @Test("hardware numbers are packed as the specification's example")
  func eisa() {
    #expect(AML.eisaID("PNP0A03") == [0x0c, 0x41, 0xd0, 0x0a, 0x03])
    #expect(AML.eisaID("PNP0C02") == [0x0c, 0x41, 0xd0, 0x0c, 0x02])
  }

  @Test("a package length counts itself, in one to four bytes")
  func lengths() {
    for count in [0, 50, 56, 57, 58, 200, 4080, 4088, 4089, 4090, 70000, 1 << 20, 1 << 20 + 5] {
      let term = AML.scope("ABCD", [[UInt8](repeating: 0xa3, count: count)])
      let following = Int(term[1] >> 6)
      var length = Int(following == 0 ? term[1] & 0x3f : term[1] & 0xf)
      for index in 0..<following { length |= Int(term[2 + index]) << (4 + 8 * index) }
      #expect(length == term.count - 1)
      #expect(term.dropFirst(2 + following).starts(with: Array("ABCD".utf8)))
    }
  }
}
