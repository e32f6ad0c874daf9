internal import DiskImage
internal import Platform

extension BlockDevice {
  /// Gives the disk the size that an order of `DiskOperator` names, and tells the driver.
  ///
  /// - Throws: `OrderRefusal` or `DiskError`.
  public func perform(_ order: [UInt8]) throws -> [UInt8] {
    var reader = ByteReader(order)
    let bytes: UInt64 = try reader.get()
    try reader.finish()
    try resize(to: bytes)
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

  /// Gives the disk this many bytes, and tells the guest. What is beyond a smaller size is lost.
  public func resize(to bytes: UInt64) throws {
    var writer = ByteWriter()
    writer.put(bytes)
    _ = try perform(writer.bytes)
  }
}
