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
  /// What a qcow2 image's header says; the content may be encrypted, or in another file.
  public let header: Qcow2Header?
  /// What a raw file looks like that is none, perhaps.
  public let foreign: ForeignFormat?

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
      let header = format == .qcow2 ? try Qcow2Image.header(of: file, isOnlyDescribed: true) : nil
      self.header = header
      foreign = format == .raw ? try ForeignFormat.detect(number, path) : nil
      size =
        switch format {
        case .raw: file.length
        case .qcow2: header?.size ?? 0
        case .androidSparse: try AndroidSparseHeader(try file.bytes(at: 0, count: AndroidSparseHeader.size)).diskSize
        case .composite: try ImageFiles.specification(of: file).length
        }
    } catch { throw DiskError.of(error, path) }
  }
}

extension Qcow2Image {
  /// Looks at the file that a new image is to be backed by, and those behind it: a chain that its users will accept.
  ///
  /// - Parameters:
  ///   - name: As it goes into the image.
  ///   - image: The path of the image.
  ///   - format: The file's format; found by its first bytes where it is `nil`.
  /// - Throws: `DiskError`.
  public static func backing(
    _ name: String, of image: String, format: ImageFormat?
  ) throws(DiskError) -> (format: ImageFormat, size: UInt64) {
    var path = image
    do {
      let backing = try BackingName(name, of: image)
      let descriptor = try backing.open()
      path = backing.path
      let found: ImageFormat
      if let format { found = format } else { found = try ImageFiles.detect(descriptor.number, path) }
      var options = ImageFiles.Options()
      options.isReadOnly = true
      switch found {
      case .raw:
        let file = try RawImage(container: descriptor, path: path, options: options.raw)
        // A disk is a whole number of sectors, whatever the file is.
        return (.raw, (file.length + 511) / 512 * 512)
      case .qcow2:
        options.format = .qcow2
        options.allowsBacking = true
        var chain = ImageChain(options)
        try chain.addTop(descriptor, path, options.raw)
        // All of them are to be behind the new image.
        guard let top = chain.layers.first, chain.layers.count <= ImageFiles.backingLimit else {
          throw BackingProblem.depth(ImageFiles.backingLimit)
        }
        return (.qcow2, try header(of: top.file).size)
      case .androidSparse, .composite: throw BackingProblem.format(name, found.rawValue)
      }
    } catch let problem as BackingProblem { throw .backing(image, problem) } catch { throw DiskError.of(error, path) }
  }
}
