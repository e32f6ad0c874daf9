/// What a composite image says: which files a disk is made of, and where. The file has magic bytes, and a message `CompositeDisk` (crosvm's
/// cdisk_spec.proto) up to its end.
public struct CompositeSpecification: Equatable, Sendable {
  /// A part of the disk, up to the next one or the disk's end.
  public struct Part: Equatable, Sendable {
    /// The file's name, relative to the folder of the composite image.
    ///
    /// It has no step upwards. It may be a symbolic link all the same, or lead through one: whoever opens it keeps to the folder
    /// (openat2(2), RESOLVE_BENEATH).
    public let path: String
    /// Where the part begins on the disk, in bytes.
    public let offset: UInt64
    /// The number of its bytes, at least 1.
    public let length: UInt64
    /// Where it begins in its file.
    public let fileOffset: UInt64
    /// Whether the guest may write it. A disk may have parts of both kinds.
    public let isWritable: Bool
  }

  /// The bytes that a composite image begins with.
  public static let magic = Array("composite_disk\u{1d}".utf8)
  /// The longest file that is read: some hundred parts take some 10 KiB.
  public static let sizeLimit = 1 << 20
  /// The most parts. Each is a descriptor, and one message to a device's process carries at most 253.
  public static let partLimit = 200

  /// The parts, by rising offset, without gaps.
  public let parts: [Part]
  /// The number of bytes of the disk.
  public let length: UInt64

  /// Reads a composite image.
  ///
  /// As in crosvm, a part reaches up to the next one. Unlike there, names may not be absolute and may not lead upwards, for whoever runs a
  /// guest from an image that somebody gave him does not expect that this opens his other files; parts must come in order and begin at 0.
  ///
  /// - Parameter bytes: The whole file.
  /// - Throws: `CompositeError`.
  public init(_ bytes: [UInt8]) throws(CompositeError) {
    guard bytes.starts(with: CompositeSpecification.magic) else { throw .wrongMagic }
    guard bytes.count <= CompositeSpecification.sizeLimit else { throw .tooLong(bytes: bytes.count) }
    var components: [Component] = []
    var (version, length): (UInt64, UInt64) = (0, 0)
    var reader = ProtobufReader(bytes[CompositeSpecification.magic.count...])
    while let field = try reader.next() {
      switch field {
      case (1, .varint(let value)): version = value
      case (2, .bytes(let message)):
        guard components.count < CompositeSpecification.partLimit else { throw .partCount(components.count + 1) }
        components.append(try Component(message))
      case (3, .varint(let value)): length = value
      case (1...3, _): throw .malformed("field \(field.field) has the type of another")
      // A later writer's.
      default: continue
      }
    }
    guard version <= 2 else { throw .unknownVersion(version) }
    guard length % 512 == 0, length > 0, length <= Int64.max else { throw .length(length) }
    self.length = length
    parts = try CompositeSpecification.parts(components, length: length)
  }

  private static func parts(_ components: [Component], length: UInt64) throws(CompositeError) -> [Part] {
    guard let last = components.last else { throw .partCount(0) }
    for (index, component) in components.enumerated() {
      let isInOrder = index == 0 ? component.offset == 0 : component.offset > components[index - 1].offset
      guard isInOrder else { throw .order(part: index, offset: component.offset) }
      guard isBeneath(component.path) else { throw .path(component.path) }
    }
    guard last.offset < length else { throw .length(length) }
    let ends = components.dropFirst().map(\.offset) + [length]
    return zip(components, ends).map { component, end in
      // Not negative: offsets rise.
      Part(
        path: component.path, offset: component.offset, length: end - component.offset, fileOffset: component.fileOffset,
        isWritable: component.isWritable)
    }
  }

  /// Whether a name leads to a file in a folder or below it, as far as the name shows.
  private static func isBeneath(_ path: String) -> Bool {
    let steps = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    return !path.isEmpty && path.utf8.count < 4096 && !path.utf8.contains(0)
      && steps.allSatisfy { !$0.isEmpty && !$0.elementsEqual("..".utf8) } && steps.last?.elementsEqual(".".utf8) == false
  }
}

/// A message `ComponentDisk`.
private struct Component {
  var path = ""
  var offset: UInt64 = 0
  var isWritable = false
  var fileOffset: UInt64 = 0

  init(_ message: ArraySlice<UInt8>) throws(CompositeError) {
    var reader = ProtobufReader(message)
    while let field = try reader.next() {
      switch field {
      case (1, .bytes(let bytes)):
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .malformed("a part's name is not UTF-8") }
        path = text
      case (2, .varint(let value)): offset = value
      // READ_WRITE; what a later writer means by another number is not known, and so is not done.
      case (3, .varint(let value)): isWritable = value == 1
      case (4, .varint(let value)): fileOffset = value
      case (1...4, _): throw .malformed("field \(field.field) of a part has the type of another")
      default: continue
      }
    }
  }
}
