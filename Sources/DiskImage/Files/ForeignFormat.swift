internal import Glibc
internal import Platform

/// Formats of other programs, which are known by their first bytes and not supported: their files would count as raw disks.
public enum ForeignFormat: String, Sendable, CaseIterable {
  /// VMware's, in its sparse form.
  case vmdk = "VMDK"
  /// VirtualBox's.
  case vdi = "VDI"
  /// Hyper-V's.
  case vhdx = "VHDX"
  /// Virtual PC's.
  case vpc = "VHD"
  /// QEMU's older enhanced format.
  case qed = "QED"
  /// Parallels'.
  case parallels = "Parallels"

  /// What a file has where `place` says: one of these.
  private var signatures: [[UInt8]] {
    switch self {
    case .vmdk: [Array("KDMV".utf8)]
    // Least significant byte first: 0xbeda107f.
    case .vdi: [[0x7f, 0x10, 0xda, 0xbe]]
    case .vhdx: [Array("vhdxfile".utf8)]
    case .vpc: [Array("conectix".utf8)]
    case .qed: [Array("QED\0".utf8)]
    // Its first version, and the second.
    case .parallels: [Array("WithoutFreeSpace".utf8), Array("WithouFreSpacExt".utf8)]
    }
  }

  private var place: Int { self == .vdi ? 64 : 0 }

  /// Finds a file's format by its first bytes.
  static func detect(_ start: [UInt8]) -> ForeignFormat? {
    allCases.first { format in format.signatures.contains { start.dropFirst(format.place).starts(with: $0) } }
  }

  /// Finds an open file's format; nil for a raw disk, or for what this project knows.
  ///
  /// - Parameter path: For messages.
  static func detect(_ number: Int32, _ path: String) throws(DiskError) -> ForeignFormat? {
    let length = try RawImage.length(of: number, path)
    guard length > 0 else { return nil }
    let start = try bytes(of: number, path, at: 0, count: 80)
    if let found = detect(start) { return found }
    // A VHD of a fixed size is the disk, and a last sector that says so.
    guard length >= 1024 else { return nil }
    return ForeignFormat.vpc.signatures.contains(try bytes(of: number, path, at: Int(length) - 512, count: 8)) ? .vpc : nil
  }

  private static func bytes(of number: Int32, _ path: String, at offset: Int, count: Int) throws(DiskError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let read = unsafe bytes.withUnsafeMutableBytes { unsafe pread(number, $0.baseAddress, $0.count, offset) }
    guard read >= 0 else { throw .system(.last("read \(path)")) }
    return Array(bytes.prefix(read))
  }
}
