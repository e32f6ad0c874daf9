import Platform
import Testing

@Suite struct ByteCodingTests {
  private func reader(_ write: (inout ByteWriter) -> Void) -> ByteReader {
    var writer = ByteWriter()
    write(&writer)
    return ByteReader(writer.bytes)
  }

  private func survives<T: FixedWidthInteger>(_ value: T) throws {
    var reader = reader { $0.put(value) }
    #expect(try reader.get(T.self) == value)
    try reader.finish()
  }

  @Test func everyIntegerIsReadAsItWasWritten() throws {
    for value in UInt8.min ... .max { try survives(value) }
    for value in Int8.min ... .max { try survives(value) }
    for shift in 0..<64 {
      let value = UInt64(1) << UInt64(shift)
      for value in [value, value &- 1, ~value] {
        try survives(value)
        try survives(Int64(bitPattern: value))
        try survives(UInt32(truncatingIfNeeded: value))
        try survives(Int32(truncatingIfNeeded: value))
        try survives(UInt16(truncatingIfNeeded: value))
        try survives(Int16(truncatingIfNeeded: value))
      }
    }
  }

  @Test func theLeastSignificantByteIsFirst() {
    var writer = ByteWriter()
    #expect(writer.bytes.isEmpty)
    writer.put(0x0102_0304 as UInt32)
    writer.put(-2 as Int16)
    writer.put(true)
    writer.put(false)
    writer.put([9, 8])
    writer.put("é")
    #expect(writer.bytes == [4, 3, 2, 1, 0xfe, 0xff, 1, 0, 2, 0, 0, 0, 9, 8, 2, 0, 0, 0, 0xc3, 0xa9])
  }

  @Test func bytesAndTextsAreReadAsTheyWereWritten() throws {
    var reader = reader {
      $0.put([])
      $0.put([1, 2, 3])
      $0.put("")
      $0.put("a\0é")
      $0.put(true)
    }
    #expect(try reader.getBytes() == [])
    #expect(try reader.getBytes() == [1, 2, 3])
    #expect(try reader.getString() == "")
    #expect(try reader.getString() == "a\0é")
    #expect(try reader.getBool())
    try reader.finish()
  }

  @Test func anyByteButZeroIsTrue() throws {
    for byte in UInt8.min ... .max {
      var reader = ByteReader([byte])
      #expect(try reader.getBool() == (byte != 0))
    }
  }

  @Test func wrongUTF8IsReplaced() throws {
    var reader = reader { $0.put([0x61, 0xff, 0xc3]) }
    #expect(try reader.getString() == "a\u{fffd}\u{fffd}")
  }

  @Test func whatEndsTooEarlyIsAnErrorAndTakesNothing() throws {
    var reader = ByteReader([1, 2, 3])
    #expect(throws: MalformedBytes.self) { try reader.get(UInt32.self) }
    #expect(throws: MalformedBytes.self) { try reader.get(UInt64.self) }
    #expect(throws: MalformedBytes.self) { try reader.finish() }
    #expect(try reader.get(UInt16.self) == 0x0201)
    #expect(try reader.get(UInt8.self) == 3)
    #expect(throws: MalformedBytes.self) { try reader.getBool() }
    try reader.finish()
  }

  @Test(arguments: [1, 3, 4, 0x7fff_ffff, 0x8000_0000, .max] as [UInt32]) func aCountThatIsTooLargeIsAnError(_ count: UInt32) {
    var writer = ByteWriter()
    writer.put(count)
    let bytes = writer.bytes + [UInt8](repeating: 0, count: count == 1 ? 0 : min(2, Int(count) - 1))
    var first = ByteReader(bytes)
    #expect(throws: MalformedBytes.self) { try first.getBytes() }
    var second = ByteReader(bytes)
    #expect(throws: MalformedBytes.self) { try second.getString() }
  }

  @Test func whatIsLeftIsAnError() throws {
    var reader = ByteReader([1, 2])
    _ = try reader.get(UInt8.self)
    #expect(throws: MalformedBytes("it is too long")) { try reader.finish() }
    try ByteReader([]).finish()
  }
}
