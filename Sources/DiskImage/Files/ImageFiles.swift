internal import CLinux
internal import Glibc
internal import Platform

/// All files of a disk image, open and locked: the image and the chain of its backing files.
///
/// An image is opened in two steps, for the process that uses it can open nothing. Here names are followed and formats found; nothing else
/// that a file says is believed. `assemble`, in the other process, reads the files anew.
public struct ImageFiles: Sendable {
  /// How an image is opened.
  public struct Options: Sendable, Equatable {
    /// Its format; found by the file's first bytes where the user names none.
    public var format: ImageFormat?
    /// Whether the image may name another file that is read as well: only where `format` is given.
    public var allowsBacking = false
    /// Whether a file without a named format is refused where it looks like one of a foreign format. Not for a guest's disks: a guest may
    /// write such bytes, and would lock itself out.
    public var refusesForeign = false
    /// Whether writes are refused.
    public var isReadOnly = false
    /// Whether the host's page cache is bypassed, but for tables and backing files.
    public var isDirect = false
    /// Whether others are kept from writing the files, and from any use of the one that is written.
    public var isLocked = true
    /// Whether discarded ranges are given back to the host.
    public var isSparse = true
    /// Whether what is written goes to a temporary file and is lost in the end: then the image's own files are only read.
    public var isEphemeral = false
    /// The most memory for tables, in bytes, one of `cacheSizes`: all qcow2 images of the disk share it (`CacheShares`).
    public var cacheSize = UInt64(Qcow2Image.defaultCacheSize)

    /// Writable, of whatever format, without backing files, through the page cache, locked, sparse, with the usual memory for tables.
    public init() {}

    /// The same for a file of the image.
    var raw: RawImage.Options {
      var raw = RawImage.Options()
      raw.isReadOnly = isReadOnly
      raw.isDirect = isDirect
      raw.isLocked = isLocked
      raw.isSparse = isSparse
      return raw
    }
  }

  /// How much memory a disk's tables may be given, in bytes: enough for a chain of any length, or for 32 TiB in clusters of 64 KiB.
  public static let cacheSizes: ClosedRange<UInt64> = (1 << 20)...(4 << 30)

  /// The longest chain of backing files.
  public static let backingLimit = 10

  /// One file of the chain.
  struct Layer: Sendable {
    let format: ImageFormat
    let file: RawImage
    /// The same file through the page cache, where `file` bypasses it: tables are not aligned as that needs.
    let cached: RawImage?
  }

  /// The image, and the files behind it.
  let layers: [Layer]
  /// The files that a composite image is made of.
  var parts: [ImageFiles] = []
  /// Where an ephemeral disk keeps what is written.
  var overlay: TemporaryFile?
  let options: Options

  /// The foreign format that the file looks like, which is used as a raw disk since the user named no format.
  public private(set) var foreign: ForeignFormat?

  /// The image's path, for messages.
  public var path: String { layers.first?.file.path ?? "" }
  /// The image's format.
  public var format: ImageFormat { layers.first?.format ?? .raw }

  /// Opens an image and what it names.
  ///
  /// A path of the form `/proc/self/fd/N` means the open descriptor N itself.
  public static func open(path: String, options: Options = Options()) throws(DiskError) -> ImageFiles {
    guard options.isEphemeral else { return try openFiles(path, options) }
    var below = options
    below.isReadOnly = true
    var files = try openFiles(path, below)
    do { files.overlay = try TemporaryFile() } catch { throw .system(error) }
    return files
  }

  private static func openFiles(_ path: String, _ options: Options) throws(DiskError) -> ImageFiles {
    let rawOptions = options.raw
    let descriptor = try RawImage.open(path, rawOptions)
    let format: ImageFormat
    if let named = options.format { format = named } else { format = try detect(descriptor.number, path) }
    let foreign = options.format == nil && format == .raw ? try ForeignFormat.detect(descriptor.number, path) : nil
    if let foreign, options.refusesForeign { throw .foreign(path, foreign) }
    do {
      var files = try take(descriptor, path, format, rawOptions, options)
      files.foreign = foreign
      return files
    } catch { throw DiskError.of(error, path) }
  }

  /// Takes an open file as an image of a format, and opens what it names.
  static func take(
    _ descriptor: consuming OwnedDescriptor, _ path: String, _ format: ImageFormat, _ rawOptions: RawImage.Options, _ options: Options
  ) throws -> ImageFiles {
    var rawOptions = rawOptions
    switch format {
    case .raw: break
    case .qcow2:
      var chain = ImageChain(options)
      try chain.addTop(descriptor, path, rawOptions)
      return ImageFiles(layers: chain.layers, options: options)
    case .androidSparse:
      guard options.isReadOnly else { throw AndroidSparseError.writable }
      rawOptions.allowsAnySize = true
    case .composite: return try openComposite(descriptor, path, rawOptions, options)
    }
    let file = try RawImage(descriptor: descriptor, path: path, options: rawOptions)
    return ImageFiles(layers: [Layer(format: format, file: file, cached: nil)], options: options)
  }

  /// What a file is, in words, that holds a disk in a format; nil for a raw disk.
  public static func containerName(of file: RawImage) throws(DiskError) -> String? {
    switch try detect(file.number, file.path) {
    case .raw: try ForeignFormat.detect(file.number, file.path)?.rawValue
    case .qcow2: "qcow2"
    case .androidSparse: "an Android sparse image"
    case .composite: "a composite image"
    }
  }

  static func detect(_ number: Int32, _ path: String) throws(DiskError) -> ImageFormat {
    guard try RawImage.length(of: number, path) > 0 else { return .raw }
    var start = [UInt8](repeating: 0, count: ImageFormat.detectionLength)
    let count = unsafe start.withUnsafeMutableBytes { unsafe pread(number, $0.baseAddress, $0.count, 0) }
    guard count >= 0 else { throw .system(.last("read \(path)")) }
    return ImageFormat.detect(Array(start.prefix(count)))
  }
}
