internal import DiskImage

/// Writes composite images, good and bad.
public struct CompositeFile: Sendable {
  /// A part, as the file says it.
  public struct Part: Sendable {
    /// The file's name.
    public var path: String
    /// Where the part begins.
    public var offset: UInt64
    /// What may be done with it: 0 to read, 1 to write too.
    public var capability: UInt64
    /// Where it begins in its file.
    public var fileOffset: UInt64

    /// Gathers the values.
    public init(_ path: String, offset: UInt64, capability: UInt64 = 0, fileOffset: UInt64 = 0) {
      self.path = path
      self.offset = offset
      self.capability = capability
      self.fileOffset = fileOffset
    }
  }

  /// The version.
  public var version: UInt64 = 2
  /// The parts.
  public var parts: [Part]
  /// The disk's length.
  public var length: UInt64

  /// Begins with parts.
  public init(_ parts: [Part], length: UInt64) {
    self.parts = parts
    self.length = length
  }

  /// The file.
  public var bytes: [UInt8] {
    CompositeSpecification.magic + Self.field(1, version) + parts.flatMap { Self.field(2, Self.message($0)) } + Self.field(3, length)
  }

  private static func message(_ part: Part) -> [UInt8] {
    field(1, Array(part.path.utf8)) + field(2, part.offset) + field(3, part.capability) + field(4, part.fileOffset)
  }

  /// A field of an integer; left out where it is zero, as writers do.
  public static func field(_ number: UInt64, _ value: UInt64) -> [UInt8] { value == 0 ? [] : varint(number << 3) + varint(value) }

  /// A field of bytes.
  public static func field(_ number: UInt64, _ bytes: [UInt8]) -> [UInt8] { varint(number << 3 | 2) + varint(UInt64(bytes.count)) + bytes }

  /// A number in the wire format.
  public static func varint(_ value: UInt64) -> [UInt8] {
    var (rest, bytes) = (value, [UInt8]())
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(truncatingIfNeeded: rest)]
  }

  /// A disk of three parts.
  public static let sample = CompositeFile(
    [
      Part("header.img", offset: 0), Part("parts/data.img", offset: 4096, capability: 1, fileOffset: 512),
      Part("footer.img", offset: 20480),
    ],
    length: 24576)
}
