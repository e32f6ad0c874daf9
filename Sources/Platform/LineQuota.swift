/// How many lines of somebody who cannot be trusted are written: some in each period, and the rest only counted.
public struct LineQuota: Sendable {
  private let lines: Int
  private let period: UInt64
  private var start: UInt64?
  private var written = 0
  private var suppressed = 0

  /// Allows so many lines in each period.
  ///
  /// - Parameters:
  ///   - lines: At least 1.
  ///   - seconds: How long a period is; it begins with its first line.
  public init(lines: Int, seconds: UInt64) {
    self.lines = lines
    period = seconds * 1_000_000_000
  }

  /// Asks for one line.
  ///
  /// - Parameter now: The monotonic time in nanoseconds.
  /// - Returns: How many were refused since the last one that was allowed; `nil` when this one is refused.
  public mutating func admit(now: UInt64) -> Int? {
    if start.map({ now &- $0 >= period }) ?? true {
      start = now
      written = 0
    }
    guard written < lines else {
      suppressed += 1
      return nil
    }
    written += 1
    defer { suppressed = 0 }
    return suppressed
  }
}
