/// How the clock's ten time registers are written: in binary or BCD, with 24 hours or twice 12.
struct CalendarFields {
  let binary: Bool
  let hours24: Bool

  /// The indices of the time's registers; between them are those of the alarm.
  static let indices: Set<UInt8> = [0, 2, 4, 6, 7, 8, 9, RealTimeClock.centuryIndex]
  private static let afternoon: UInt8 = 0x80

  /// Writes a date into its registers.
  func encode(_ date: CalendarDate, into memory: inout [UInt8]) {
    memory[0] = encode(date.second)
    memory[2] = encode(date.minute)
    memory[4] = encode(hour: date.hour)
    memory[6] = encode(date.weekday + 1)
    memory[7] = encode(date.day)
    memory[8] = encode(date.month)
    let year = min(max(date.year, 0), 9999)
    memory[9] = encode(year % 100)
    memory[Int(RealTimeClock.centuryIndex)] = encode(year / 100)
  }

  /// Reads a date from its registers; what makes no sense carries over into the next field. The weekday follows from the rest.
  func decode(_ memory: [UInt8]) -> CalendarDate {
    var date = CalendarDate(secondsSince1970: 0)
    date.second = decode(memory[0])
    date.minute = decode(memory[2])
    date.hour = decode(hour: memory[4])
    date.day = decode(memory[7])
    date.month = decode(memory[8])
    date.year = decode(memory[Int(RealTimeClock.centuryIndex)]) * 100 + decode(memory[9])
    return date
  }

  /// The alarm's time of day; `nil` in a field stands for any value (data sheet: "don't care", 0xc0 to 0xff).
  func decodeAlarm(_ memory: [UInt8]) -> (hour: Int64?, minute: Int64?, second: Int64?) {
    func field(_ index: Int, _ value: (UInt8) -> Int) -> Int64? { memory[index] >= 0xc0 ? nil : Int64(value(memory[index])) }
    return (field(5, decode(hour:)), field(3, decode(_:)), field(1, decode(_:)))
  }

  private func encode(_ value: Int) -> UInt8 {
    let value = UInt8(clamping: value)
    return binary ? value : (value / 10) << 4 | value % 10
  }

  private func encode(hour: Int) -> UInt8 {
    if hours24 { return encode(hour) }
    return encode(hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? CalendarFields.afternoon : 0)
  }

  private func decode(_ value: UInt8) -> Int { binary ? Int(value) : Int(value >> 4) * 10 + Int(value & 15) }

  private func decode(hour value: UInt8) -> Int {
    if hours24 { return decode(value) }
    let hour = decode(value & ~CalendarFields.afternoon) % 12
    return value & CalendarFields.afternoon != 0 ? hour + 12 : hour
  }
}
