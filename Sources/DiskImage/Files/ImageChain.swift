internal import CLinux
internal import Glibc
internal import Platform

/// Follows the names of backing files.
struct ImageChain {
  private let options: ImageFiles.Options
  private(set) var layers: [ImageFiles.Layer] = []
  private var seen: [FileIdentity] = []

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
    let file = try FileIdentity(number, path)
    if seen.contains(file) { return false }
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
