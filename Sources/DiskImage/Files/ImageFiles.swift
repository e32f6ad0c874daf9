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
    /// Whether writes are refused.
    public var isReadOnly = false
    /// Whether the host's page cache is bypassed, but for tables and backing files.
    public var isDirect = false
    /// Whether others are kept from writing the files, and from any use of the one that is written.
    public var isLocked = true
    /// Whether discarded ranges are given back to the host.
    public var isSparse = true

    /// Writable, of whatever format, without backing files, through the page cache, locked, sparse.
    public init() {}
  }

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
  let options: Options

  /// The image's path, for messages.
  public var path: String { layers.first?.file.path ?? "" }
  /// The image's format.
  public var format: ImageFormat { layers.first?.format ?? .raw }

  /// Opens an image and what it names.
  ///
  /// A path of the form `/proc/self/fd/N` means the open descriptor N itself.
  public static func open(path: String, options: Options = Options()) throws(DiskError) -> ImageFiles {
    var rawOptions = RawImage.Options()
    rawOptions.isReadOnly = options.isReadOnly
    rawOptions.isDirect = options.isDirect
    rawOptions.isLocked = options.isLocked
    rawOptions.isSparse = options.isSparse
    let descriptor = try RawImage.open(path, rawOptions)
    let format: ImageFormat
    if let named = options.format { format = named } else { format = try detect(descriptor.number, path) }
    do {
      switch format {
      case .raw:
        let file = try RawImage(descriptor: descriptor, path: path, options: rawOptions)
        return ImageFiles(layers: [Layer(format: .raw, file: file, cached: nil)], options: options)
      case .qcow2:
        var chain = ImageChain(options)
        try chain.addTop(descriptor, path, rawOptions)
        return ImageFiles(layers: chain.layers, options: options)
      case .androidSparse, .composite: throw DiskError.unsupportedFormat(path, format)
      }
    } catch { throw DiskError.of(error, path) }
  }

  static func detect(_ number: Int32, _ path: String) throws(DiskError) -> ImageFormat {
    guard try RawImage.length(of: number, path) > 0 else { return .raw }
    var start = [UInt8](repeating: 0, count: ImageFormat.detectionLength)
    let count = unsafe start.withUnsafeMutableBytes { unsafe pread(number, $0.baseAddress, $0.count, 0) }
    guard count >= 0 else { throw .system(.last("read \(path)")) }
    return ImageFormat.detect(Array(start.prefix(count)))
  }

  /// Makes the disk. Called once.
  public func assemble() throws(DiskError) -> any DiskImage {
    var below: (any SynchronousDisk)?
    for (index, layer) in layers.enumerated().reversed() {
      let disk: any SynchronousDisk
      switch layer.format {
      case .raw: disk = layer.file
      case .qcow2:
        var qcow2 = Qcow2Image.Options()
        qcow2.isReadOnly = options.isReadOnly || index > 0
        qcow2.isSparse = options.isSparse
        // What is below shares the work.
        if index > 0 { qcow2.cacheSize = 1 << 20 }
        disk = try Qcow2Image(file: layer.cached ?? layer.file, data: layer.file, path: layer.file.path, backing: below, options: qcow2)
      case .androidSparse, .composite: throw .unsupportedFormat(layer.file.path, layer.format)
      }
      below = disk
    }
    guard let below else { throw .missing("") }
    return below
  }
}

/// Follows the names of backing files.
struct ImageChain {
  private let options: ImageFiles.Options
  private(set) var layers: [ImageFiles.Layer] = []
  private var seen: [(device: UInt64, node: UInt64)] = []

  init(_ options: ImageFiles.Options) { self.options = options }

  /// Takes the image itself, and all that it names.
  mutating func addTop(_ descriptor: consuming OwnedDescriptor, _ path: String, _ options: RawImage.Options) throws {
    _ = try note(descriptor.number, path)
    let cached = try options.isDirect ? ImageChain.reopen(descriptor.number, path, options) : nil
    let file = try RawImage(container: descriptor, path: path, options: options)
    layers.append(ImageFiles.Layer(format: .qcow2, file: file, cached: cached))
    try followNames(from: cached ?? file)
  }

  private mutating func followNames(from top: RawImage) throws {
    var image = top
    while true {
      let header = try Qcow2Image.header(of: image)
      guard let name = header.backingName else { return }
      do {
        guard options.allowsBacking, options.format == .qcow2 else { throw BackingProblem.notAllowed(name) }
        guard layers.count <= ImageFiles.backingLimit else { throw BackingProblem.depth(ImageFiles.backingLimit) }
        guard let formatName = header.backingFormat else { throw BackingProblem.noFormat(name) }
        guard let format = ImageFormat(rawValue: formatName), format == .raw || format == .qcow2 else {
          throw BackingProblem.format(name, formatName)
        }
        image = try addBacking(name, format, of: image.path)
        if format == .raw { return }
      } catch let problem as BackingProblem { throw DiskError.backing(image.path, problem) }
    }
  }

  private mutating func addBacking(_ name: String, _ format: ImageFormat, of image: String) throws -> RawImage {
    let backing = try BackingName(name, of: image)
    let descriptor = try backing.open()
    guard try note(descriptor.number, backing.path) else { throw BackingProblem.cycle(name) }
    var raw = RawImage.Options()
    raw.isReadOnly = true
    raw.isLocked = options.isLocked
    let file = try RawImage(container: descriptor, path: backing.path, options: raw)
    layers.append(ImageFiles.Layer(format: format, file: file, cached: nil))
    return file
  }

  /// Notes a file; returns whether it is new.
  private mutating func note(_ number: Int32, _ path: String) throws -> Bool {
    var status = stat()
    try retrying("examine \(path)") { unsafe Int(fstat(number, &status)) }
    let file = (device: UInt64(status.st_dev), node: UInt64(status.st_ino))
    if seen.contains(where: { $0 == file }) { return false }
    seen.append(file)
    return true
  }

  /// The same file once more, through the page cache; the lock is the first one's.
  private static func reopen(_ number: Int32, _ path: String, _ options: RawImage.Options) throws -> RawImage {
    var cached = options
    cached.isDirect = false
    cached.isLocked = false
    let descriptor = try OwnedDescriptor.open("/proc/self/fd/\(number)", flags: options.isReadOnly ? O_RDONLY : O_RDWR)
    return try RawImage(container: descriptor, path: path, options: cached)
  }
}
