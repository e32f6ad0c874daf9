internal import Virtio

/// The size of a terminal, in characters.
public struct ConsoleSize: Sendable, Equatable {
  /// The number of characters in a line.
  public var columns: UInt16
  /// The number of lines.
  public var rows: UInt16

  /// Makes a size.
  public init(columns: UInt16, rows: UInt16) {
    self.columns = columns
    self.rows = rows
  }
}

/// The console's configuration space (virtio 1.2, section 5.3.4).
enum ConsoleLayout {
  static let columns = 0
  static let rows = 2
  static let emergencyWrite: UInt64 = 8
  private static let size = 12

  /// The space before the driver has written anything: one port.
  static func space(_ terminal: ConsoleSize?) -> ConfigurationSpace {
    var space = ConfigurationSpace(size: size)
    if let terminal {
      space.set(terminal.columns, at: columns)
      space.set(terminal.rows, at: rows)
    }
    space.set(UInt32(1), at: 4)
    return space
  }
}
