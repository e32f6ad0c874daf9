internal import CLinux
internal import Glibc
internal import Platform

/// Makes an image of another format that has the same content.
public enum ImageConversion {
  /// What the new image is like.
  public enum Target: Sendable, Equatable {
    /// A file with holes where the disk is zero.
    case raw
    /// A qcow2 image.
    case qcow2(Qcow2Image.Format)

    /// The format that a file's name tells by its last part: `.raw` and `.img`, `.qcow2` and `.qcow`; nil for any other.
    public init?(path: String) {
      let name = path.split(separator: "/").last ?? ""
      switch name.split(separator: ".", omittingEmptySubsequences: false).dropFirst().last?.lowercased() {
      case "raw", "img": self = .raw
      case "qcow2", "qcow": self = .qcow2(Qcow2Image.Format())
      default: return nil
      }
    }
  }

  /// Makes a new file of an image, whose backing files become part of it.
  ///
  /// - Parameters:
  ///   - source: Open, to be read only.
  ///   - path: The new file, which has this name only once it is complete. Its content is not put on stable storage, as `cp` does not.
  ///   - target: Its format.
  ///   - report: Is told from time to time how far it is.
  /// - Throws: `DiskError`; there is no file then.
  public static func convert(
    _ source: ImageFiles, to path: String, as target: Target, report: (ImageCopy.Progress) -> Void = { _ in }
  ) throws(DiskError) {
    let file = try NewFile(path: path)
    try convert(source, into: file.number, path: path, as: target, report: report)
    try file.keep()
  }

  /// Fills an open file, which is emptied first.
  ///
  /// - Parameters:
  ///   - descriptor: Open for reading and writing.
  ///   - path: Its name, for messages.
  /// - Throws: `DiskError`; the file is of no use then.
  public static func convert(
    _ source: ImageFiles, into descriptor: Int32, path: String, as target: Target, report: (ImageCopy.Progress) -> Void = { _ in }
  ) throws(DiskError) {
    try refuseOwnSource(source, descriptor, path)
    let disk = try source.assemble()
    guard let readable = disk as? any SynchronousDisk else { throw .cannotCreate(path, SystemError("read the image", code: EOPNOTSUPP)) }
    let file = try emptied(descriptor, path)
    let copy: any SynchronousDisk
    switch target {
    case .raw:
      guard file.extend(to: disk.size) == 0 else { throw .cannotCreate(path, .last("give the image its size")) }
      copy = RawImage(
        descriptor: try duplicate(descriptor), path: path, options: unlocked,
        facts: RawImage.Facts(size: disk.size, alignment: 512, bufferAlignment: 1, isMemory: false))
    case .qcow2(let format):
      // Nobody sees the file before it is complete, so that nothing has to reach the disk in an order.
      let length = try Qcow2Image.create(file: UnorderedFile(file), path: path, size: disk.size, format: format)
      copy = try Qcow2Image(file: UnorderedFile(file, length: length), path: path)
    }
    try ImageCopy(from: readable, to: copy).run(report: report)
    // A raw image is complete, and its flush would wait for the disk.
    if target == .raw { return }
    let code = copy.flush()
    guard code == 0 else { throw .cannotCreate(path, SystemError("write the last tables", code: code)) }
    copy.finish()
  }

  /// Refuses to empty a file that is read: an image, or what is behind it.
  private static func refuseOwnSource(_ source: ImageFiles, _ descriptor: Int32, _ path: String) throws(DiskError) {
    do throws(SystemError) {
      let target = try FileIdentity(descriptor, path)
      for file in source.descriptors where try FileIdentity(file, source.path) == target {
        throw SystemError("write over the image that is read", code: EINVAL)
      }
    } catch { throw .cannotCreate(path, error) }
  }

  private static let unlocked = {
    var options = RawImage.Options()
    options.isLocked = false
    return options
  }()

  private static func emptied(_ descriptor: Int32, _ path: String) throws(DiskError) -> RawImage {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw .cannotCreate(path, .last("read the file's size")) }
    // ext4 writes a file that was cut to nothing to the disk when it is closed, which takes longer than the copy.
    if status.st_size > 0, ftruncate(descriptor, 0) != 0 { throw .cannotCreate(path, .last("empty the file")) }
    return RawImage(
      descriptor: try duplicate(descriptor), path: path, options: unlocked,
      facts: RawImage.Facts(size: 0, alignment: 512, bufferAlignment: 1, isMemory: false))
  }

  private static func duplicate(_ descriptor: Int32) throws(DiskError) -> OwnedDescriptor {
    do { return try OwnedDescriptor.duplicate(descriptor) } catch { throw .system(error) }
  }
}
