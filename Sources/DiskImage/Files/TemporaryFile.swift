internal import CLinux
internal import Glibc
internal import Platform

/// A file without a name, whose space is free again when nobody has it open any more: what is written to an ephemeral disk.
struct TemporaryFile: Sendable {
  private let box: DescriptorBox

  /// Makes a file in the folder for temporary files: that of TMPDIR and no other, for a guest's data shall not be where its owner did not
  /// expect it; without one, /var/tmp, which is on a disk as a rule, or /tmp.
  init() throws(SystemError) {
    let chosen = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? ""
    var failure = SystemError("make a temporary file", code: ENOENT)
    for folder in chosen.isEmpty ? ["/var/tmp", "/tmp"] : [chosen] {
      do throws(SystemError) {
        box = DescriptorBox(try TemporaryFile.nameless(in: folder))
        return
      } catch { failure = SystemError("make a temporary file in \(folder)", code: error.code) }
    }
    throw failure
  }

  /// Makes a file that never has a name, or has one for a moment where the file system cannot do that (overlayfs before Linux 6.6).
  private static func nameless(in folder: String) throws(SystemError) -> OwnedDescriptor {
    do { return try OwnedDescriptor.open(folder, flags: clinux_O_TMPFILE | O_RDWR, mode: 0o600) } catch {
      guard [EOPNOTSUPP, EISDIR, EINVAL].contains(error.code) else { throw error }
    }
    let path = "\(folder)/crosvm-disk-\(String(UInt64.random(in: 0..<UInt64.max), radix: 16))"
    let file = try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
    unsafe _ = unlink(path)
    return file
  }

  /// Takes a file that another process made.
  init(_ descriptor: consuming OwnedDescriptor) { box = DescriptorBox(descriptor) }

  /// The descriptor, lent.
  var number: Int32 { box.number }

  /// Makes a disk that begins with the content of another, and keeps here what is written to it. Called once.
  ///
  /// - Parameter cacheSize: The most memory for its tables.
  func lay(over disk: any SynchronousDisk, cacheSize: Int) throws(DiskError) -> Qcow2Image {
    guard let descriptor = box.take() else { throw .notADisk("temporary file") }
    var overlay = Qcow2Image.Options()
    overlay.cacheSize = cacheSize
    var options = RawImage.Options()
    options.isLocked = false
    let file = RawImage(
      descriptor: descriptor, path: "temporary file", options: options,
      facts: RawImage.Facts(size: 0, alignment: 512, bufferAlignment: 1, isMemory: false))
    // Nothing of it outlives the machine, so nothing has to reach the disk.
    let length = try Qcow2Image.create(file: UnorderedFile(file), path: file.path, size: disk.size)
    return try Qcow2Image(file: UnorderedFile(file, length: length), data: file, path: file.path, backing: disk, options: overlay)
  }
}
