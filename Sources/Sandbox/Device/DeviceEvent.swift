package import Logging
package import Platform

/// What a device's process tells without being asked, on a connection of its own.
package enum DeviceEvent: Equatable {
  /// A line for the log.
  case line(Logger.Level, String)
  /// The interrupt line is needed from now on.
  case attachLine
  /// The process did what its policy forbids, and is at its end.
  case violation(Violation)
  /// What the language's runtime wrote to the standard error, which leads here.
  case text(String)

  /// The longest line, in bytes.
  package static let longestLine = 4096
  static let lineKind: UInt8 = 0
  static let attachLineKind: UInt8 = 1
  static let violationKind: UInt8 = 2

  package var encoded: [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .line(let level, let text):
      writer.put(DeviceEvent.lineKind)
      writer.put(UInt8(clamping: Logger.Level.allCases.firstIndex(of: level) ?? 0))
      writer.put(Array(text.utf8.prefix(DeviceEvent.longestLine)))
    case .attachLine: writer.put(DeviceEvent.attachLineKind)
    case .violation(let violation): violation.encode(to: &writer)
    case .text(let text): return Array(text.utf8)
    }
    return writer.bytes
  }

  package init(_ packet: [UInt8]) throws(MalformedBytes) {
    var reader = ByteReader(packet)
    switch try reader.get(UInt8.self) {
    case DeviceEvent.lineKind:
      let level = Int(try reader.get(UInt8.self))
      guard level < Logger.Level.allCases.count else { throw MalformedBytes("a line of an unknown level") }
      self = .line(Logger.Level.allCases[level], String((try reader.getString()).prefix(DeviceEvent.longestLine)))
    case DeviceEvent.attachLineKind: self = .attachLine
    case DeviceEvent.violationKind:
      self = .violation(try Violation(packet))
      return
    // Text begins with no control character, or with one that nothing else begins with.
    default:
      self = .text(String(decoding: packet.prefix(DeviceEvent.longestLine), as: UTF8.self))
      return
    }
    try reader.finish()
  }
}

/// A system call that a policy forbids.
package struct Violation: Equatable {
  /// Its number, which depends on the architecture.
  let call: Int
  /// What it was given.
  let arguments: [UInt64]

  /// As the handler of the signal writes it: `clinux_violation`.
  func encode(to writer: inout ByteWriter) {
    writer.put(UInt32(DeviceEvent.violationKind))
    writer.put(Int32(clamping: call))
    for argument in arguments { writer.put(argument) }
  }

  init(_ packet: [UInt8]) throws(MalformedBytes) {
    var reader = ByteReader(packet)
    _ = try reader.get(UInt32.self)
    call = Int(try reader.get(Int32.self))
    var arguments: [UInt64] = []
    for _ in 0..<6 { arguments.append(try reader.get()) }
    self.arguments = arguments
    try reader.finish()
  }

  package init(call: Int, arguments: [UInt64]) {
    self.call = call
    self.arguments = arguments
  }
}
