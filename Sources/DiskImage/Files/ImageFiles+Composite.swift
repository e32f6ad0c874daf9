internal import Platform

// Images that are composed of other files.
extension ImageFiles {
  /// Opens a composite image and the files that it names, which are followed only where the user named the format.
  static func openComposite(
    _ descriptor: consuming OwnedDescriptor, _ path: String, _ rawOptions: RawImage.Options, _ options: Options
  ) throws -> ImageFiles {
    guard options.format == .composite else { throw DiskError.unnamedComposite(path) }
    var rawOptions = rawOptions
    rawOptions.allowsAnySize = true
    rawOptions.isDirect = false
    let file = try RawImage(descriptor: descriptor, path: path, options: rawOptions)
    let specification = try specification(of: file)
    var files = ImageFiles(layers: [Layer(format: .composite, file: file, cached: nil)], options: options)
    for part in specification.parts { files.parts.append(try openPart(part, of: path, options)) }
    return files
  }

  /// Opens one part: an image of any format that is one file.
  private static func openPart(_ part: CompositeSpecification.Part, of path: String, _ options: Options) throws -> ImageFiles {
    var options = options
    options.format = nil
    options.allowsBacking = false
    options.isReadOnly = options.isReadOnly || !part.isWritable
    options.isDirect = false
    var raw = options.raw
    raw.allowsAnySize = true
    do {
      let name = try BackingName(part.path, of: path)
      let descriptor = try name.open(writing: !raw.isReadOnly)
      let format = try detect(descriptor.number, name.path)
      guard format != .composite else { throw CompositeError.path(part.path) }
      return try take(descriptor, name.path, format, raw, options)
    } catch let problem as BackingProblem { throw DiskError.part(path, problem) }
  }

  /// Makes the disk of the parts.
  func assembleComposite(_ file: RawImage, cacheSize: Int) throws(DiskError) -> CompositeImage {
    do {
      let specification = try ImageFiles.specification(of: file)
      var disks: [any SynchronousDisk] = []
      for part in parts {
        disks.append(try part.assembleFiles(cacheSize: cacheSize / max(1, qcow2Files.count)))
      }
      return try CompositeImage(file: file, specification, files: disks)
    } catch { throw DiskError.of(error, file.path) }
  }

  static func specification(of file: RawImage) throws -> CompositeSpecification {
    let length = Int(min(file.length, UInt64(CompositeSpecification.sizeLimit) + 1))
    return try CompositeSpecification(try file.bytes(at: 0, count: length))
  }
}
