/// A moment in the Gregorian calendar, UTC, as a clock chip splits it.
struct CalendarDate: Equatable {
  var year: Int
  /// 1...12.
  var month: Int
  /// 1...31.
  var day: Int
  /// 0...23.
  var hour: Int
  /// 0...59.
  var minute: Int
  /// 0...59.
  var second: Int
  /// 0 is Sunday.
  var weekday: Int

  private static let daysOfEra = 146_097  // 400 years

  /// The date so many seconds after 1970-01-01T00:00Z.
  init(secondsSince1970 seconds: Int64) {
    let days = Int(seconds.floorDivided(by: 86_400))
    let secondOfDay = Int(seconds - Int64(days) * 86_400)
    hour = secondOfDay / 3600
    minute = secondOfDay / 60 % 60
    second = secondOfDay % 60
    weekday = Int(Int64(days + 4).floorRemainder(by: 7))
    // Years that begin in March put the leap day at the end, which makes the months' lengths a straight line (153 days in 5 months).
    let shifted = days + 719_468
    let era = Int(Int64(shifted).floorDivided(by: Int64(CalendarDate.daysOfEra)))
    let dayOfEra = shifted - era * CalendarDate.daysOfEra
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  /// Seconds since 1970-01-01T00:00Z; fields beyond their range carry over, as in the calendar.
  var secondsSince1970: Int64 {
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = Int(Int64(shiftedYear).floorDivided(by: 400))
    let yearOfEra = shiftedYear - era * 400
    let shiftedMonth = month > 2 ? month - 3 : month + 9
    let dayOfYear = (153 * shiftedMonth + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    let days = era * CalendarDate.daysOfEra + dayOfEra - 719_468
    return Int64(days) * 86_400 + Int64(hour * 3600 + minute * 60 + second)
  }
}

extension Int64 {
  func floorDivided(by divisor: Int64) -> Int64 {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? quotient - 1 : quotient
  }

  func floorRemainder(by divisor: Int64) -> Int64 {
    let remainder = self % divisor
    return remainder < 0 ? remainder + divisor : remainder
  }
}
