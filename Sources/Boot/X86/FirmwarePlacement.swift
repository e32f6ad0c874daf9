/// Where a firmware image goes. The caller maps the file; nothing of it is read here.
public struct FirmwarePlacement: Equatable, Sendable {
  /// A part of the file and where the guest sees it.
  public struct Part: Equatable, Sendable {
    /// Guest-physical addresses.
    public let addresses: Range<UInt64>
    /// Where the part begins in the file, a multiple of 4096.
    public let fileOffset: UInt64
  }

  /// The whole image, read-only to the guest, ending at 4 GiB, where the reset vector is.
  public let image: Part
  /// The image's last 128 KiB (all of a smaller one) once more, ending at 1 MiB, as PCs have it for real mode. It lies in low RAM: copy
  /// it there, or lay it over.
  public let lowCopy: Part

  private static let sizes: ClosedRange<UInt64> = 65536...16 << 20

  /// Places an open image.
  ///
  /// - Throws: `BootError.firmware` unless the file's size is a multiple of 4096 between 64 KiB and 16 MiB.
  public init(file: BootFile) throws(BootError) {
    let size: UInt64
    do { size = try file.size() } catch { throw .firmware(file: file.name, .file(error)) }
    guard FirmwarePlacement.sizes.contains(size), size % 4096 == 0 else { throw .firmware(file: file.name, .badSize(size)) }
    image = Part(addresses: X86Layout.fourGiB - size..<X86Layout.fourGiB, fileOffset: 0)
    let copied = min(size, X86Layout.lowFirmware.upperBound - X86Layout.lowFirmware.lowerBound)
    lowCopy = Part(addresses: X86Layout.lowFirmware.upperBound - copied..<X86Layout.lowFirmware.upperBound, fileOffset: size - copied)
  }
}
