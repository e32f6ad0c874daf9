internal import DiskImage
internal import Platform

extension BlockDevice {
  /// Gives the disk the size that an order of `DiskOperator` names, and tells the driver.
  ///
  /// - Throws: `OrderRefusal` or `DiskError`.
  public func perform(_ order: [UInt8]) throws -> [UInt8] {
    var reader = ByteReader(order)
    let bytes: UInt64 = try reader.get()
    let mayShrink = try reader.getBool()
    try reader.finish()
    try resize(to: bytes, mayShrink: mayShrink)
    return []
  }
}

/// A disk as the machine's user sees it, in whichever process it is.
public struct DiskOperator: Sendable {
  private let perform: @Sendable ([UInt8]) throws -> [UInt8]

  /// Addresses a disk.
  ///
  /// - Parameter perform: Carries an order to the device and its answer back; see `VirtioDevice.perform`.
  public init(perform: @escaping @Sendable ([UInt8]) throws -> [UInt8]) { self.perform = perform }

  /// Gives the disk this many bytes, and tells the guest.
  ///
  /// - Parameter mayShrink: Whether a smaller size is meant: what is beyond it is lost.
  /// - Throws: `DiskError.shrinks` for a smaller size that is not meant, as the device tells it; else why it cannot be.
  public func resize(to bytes: UInt64, mayShrink: Bool) throws {
    var writer = ByteWriter()
    writer.put(bytes)
    writer.put(mayShrink)
    _ = try perform(writer.bytes)
  }
}
