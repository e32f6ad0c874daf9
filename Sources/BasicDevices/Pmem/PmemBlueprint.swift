internal import DiskImage
public import Logging
public import Platform
public import Virtio

/// What a persistent memory device is made of: its place in guest-physical memory, and the image's descriptor, to flush it.
public struct PmemBlueprint: DeviceBlueprint {
  /// Persistent memory.
  public static var kind: String { "pmem" }

  private let addresses: Range<UInt64>
  private let file: RawImage

  /// Describes an image at its place in guest-physical memory.
  ///
  /// - Parameters:
  ///   - image: The image; the machine maps it at `addresses`.
  ///   - addresses: `image.guestSize` guest-physical addresses.
  public init(_ image: PmemImage, at addresses: Range<UInt64>) {
    self.addresses = addresses
    file = image.file
  }

  /// The image.
  public var descriptors: [Int32] { [file.number] }

  /// The place, and the image's name.
  public func encode(to writer: inout ByteWriter) {
    writer.put(addresses.lowerBound)
    writer.put(addresses.upperBound)
    writer.put(file.path)
    writer.put(file.options.isReadOnly)
    writer.put(file.size)
  }

  /// Takes an image that was opened by another process.
  public init(from reader: inout ByteReader, descriptors: DescriptorList) throws {
    let (start, end): (UInt64, UInt64) = (try reader.get(), try reader.get())
    guard start <= end else { throw MalformedBytes("persistent memory that ends before it begins") }
    addresses = start..<end
    let path = try reader.getString()
    var options = RawImage.Options()
    options.isReadOnly = try reader.getBool()
    // Of these only the size is known here; the device only flushes.
    let facts = RawImage.Facts(size: try reader.get(), alignment: 512, bufferAlignment: 1, isMemory: false)
    file = RawImage(descriptor: try descriptors.nextOwned(), path: path, options: options, facts: facts)
  }

  /// Makes the device.
  public func build(logger: Logger) throws -> any VirtioDevice {
    PmemDevice(addresses: addresses, flush: { [file] in file.flush() }, logger: logger)
  }
}
