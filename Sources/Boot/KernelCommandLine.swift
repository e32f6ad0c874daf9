/// Why the kernel command line cannot be passed on.
public enum CommandLineProblem: Error, Equatable, Sendable, CustomStringConvertible {
  /// A byte that the kernel cannot take; `position` counts bytes of the added part from 0.
  case badCharacter(byte: UInt8, position: Int, part: String)
  /// It is longer than the kernel reads.
  case tooLong(bytes: Int, maximum: Int)

  /// The message for the user.
  public var description: String {
    switch self {
    case .badCharacter(let byte, let position, let part):
      "byte \(hex(byte)) at position \(position) of \"\(CommandLineProblem.printable(part))\"; use printable ASCII characters only"
    case .tooLong(let bytes, let maximum): "is \(bytes) bytes long, and this kernel reads at most \(maximum); leave out some parameters"
    }
  }

  private static func printable(_ text: String) -> String {
    String(text.unicodeScalars.map { (0x20...0x7e).contains($0.value) ? Character($0) : "?" })
  }
}

/// The parameters that the kernel gets, in order, separated by spaces.
public struct KernelCommandLine: Equatable, Sendable, CustomStringConvertible {
  private var text: [UInt8] = []

  /// An empty command line.
  public init() {}

  /// The number of bytes, without the terminating NUL.
  public var count: Int { text.count }

  /// The parameters as the kernel reads them.
  public var description: String { String(decoding: text, as: UTF8.self) }

  /// Adds one or more parameters, after a space unless it is the first; an empty part adds nothing.
  ///
  /// - Throws: `badCharacter` for anything but printable ASCII, NUL and line breaks among it.
  public mutating func append(_ part: String) throws(BootError) {
    for (position, byte) in part.utf8.enumerated() where !(0x20...0x7e).contains(byte) {
      throw .commandLine(.badCharacter(byte: byte, position: position, part: part))
    }
    guard !part.isEmpty else { return }
    if !text.isEmpty { text.append(0x20) }
    text.append(contentsOf: part.utf8)
  }

  /// The bytes for guest memory, with the terminating NUL.
  ///
  /// - Parameter maximum: How many bytes the kernel reads, without the NUL.
  /// - Throws: `tooLong`.
  func encoded(maximum: Int) throws(BootError) -> [UInt8] {
    guard text.count <= maximum else { throw .commandLine(.tooLong(bytes: text.count, maximum: maximum)) }
    return text + [0]
  }
}
