/// What a file is that holds a disk.
public enum ImageFormat: String, Sendable, CaseIterable {
  /// The disk's bytes and nothing else.
  case raw
  /// QEMU's format, version 2 or 3.
  case qcow2
  /// Android's sparse images, read-only.
  case androidSparse = "android-sparse"
  /// A disk composed of other files.
  case composite

  /// Finds a file's format by its first bytes; raw where they are nothing known.
  ///
  /// A guest may write such bytes into a raw disk. What it gains is a disk of another content, but never another file: names within a file
  /// are followed only where the user has named the format.
  public static func detect(_ start: [UInt8]) -> ImageFormat {
    if start.starts(with: Qcow2Header.magic) { return .qcow2 }
    // Least significant byte first: 0xed26ff3a.
    if start.starts(with: [0x3a, 0xff, 0x26, 0xed]) { return .androidSparse }
    if start.starts(with: Array("composite_disk\u{1d}".utf8)) { return .composite }
    return .raw
  }

  /// How many bytes `detect` looks at.
  public static let detectionLength = 16
}
