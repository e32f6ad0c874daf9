internal import CLinux
internal import Glibc
internal import Platform

/// What a file says of itself, for a user who asks. Nothing else is opened for it.
public struct ImageFacts: Sendable {
  /// The file.
  public let path: String
  /// Its format, by its first bytes.
  public let format: ImageFormat
  /// The bytes of the disk.
  public let size: UInt64
  /// The bytes that the file takes on the host.
  public let allocated: UInt64
  /// What a qcow2 image's header says.
  public let header: Qcow2Header?

  /// Looks at a file, locked against writers meanwhile.
  ///
  /// - Throws: `DiskError`.
  public init(path: String) throws(DiskError) {
    var options = RawImage.Options()
    options.isReadOnly = true
    let descriptor = try RawImage.open(path, options)
    format = try ImageFiles.detect(descriptor.number, path)
    self.path = path
    do {
      var status = stat()
      let number = descriptor.number
      try retrying("examine \(path)") { unsafe Int(fstat(number, &status)) }
      allocated = UInt64(max(0, status.st_blocks)) * 512
      let file = try RawImage(container: descriptor, path: path, options: options)
      header = format == .qcow2 ? try Qcow2Image.header(of: file) : nil
      size = header?.size ?? file.length
    } catch { throw DiskError.of(error, path) }
  }
}

extension Qcow2Image {
  /// Looks at the file that a new image is to be backed by: one that its users will accept.
  ///
  /// - Parameters:
  ///   - name: As it goes into the image.
  ///   - image: The path of the image.
  ///   - format: The file's format; found by its first bytes where it is `nil`.
  /// - Throws: `DiskError`.
  public static func backing(
    _ name: String, of image: String, format: ImageFormat?
  ) throws(DiskError) -> (format: ImageFormat, size: UInt64) {
    do {
      let backing = try BackingName(name, of: image)
      let descriptor = try backing.open()
      let found: ImageFormat
      if let format { found = format } else { found = try ImageFiles.detect(descriptor.number, backing.path) }
      var options = RawImage.Options()
      options.isReadOnly = true
      let file = try RawImage(container: descriptor, path: backing.path, options: options)
      switch found {
      // A disk is a whole number of sectors, whatever the file is.
      case .raw: return (.raw, (file.length + 511) / 512 * 512)
      case .qcow2: return (.qcow2, try header(of: file).size)
      case .androidSparse, .composite: throw BackingProblem.format(name, found.rawValue)
      }
    } catch let problem as BackingProblem { throw .backing(image, problem) } catch { throw DiskError.of(error, image) }
  }
}
