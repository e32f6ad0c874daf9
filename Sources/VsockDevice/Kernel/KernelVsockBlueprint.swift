public import Logging
public import Platform
internal import Vhost
public import Virtio

/// What a socket device is made of that the host's kernel serves.
public struct KernelVsockBlueprint: DeviceBlueprint {
  /// Sockets of the kernel.
  public static var kind: String { "vhost_vsock" }

  private let context: UInt32
  private let kernel: DescriptorBox

  /// Opens the kernel's device and takes the context identifier, so that what is wrong is known before a process is made.
  ///
  /// - Throws: `VhostError`, or `SystemError`.
  public init(context: UInt32, path: String) throws {
    let device = try VhostDevice(path: path)
    do throws(VhostError) { try device.setGuestContext(context) } catch {
      throw if case .request(let cause) = error { VhostError.otherDevice(path: path, cause) } else { error }
    }
    self.context = context
    // Open until its descriptor is copied: this is the last use of the device.
    kernel = try withExtendedLifetime(device) { DescriptorBox(try OwnedDescriptor.duplicate(device.number)) }
  }

  /// The kernel's device.
  public var descriptors: [Int32] { [kernel.number] }

  /// Writes the guest's address.
  public func encode(to writer: inout ByteWriter) { writer.put(context) }

  /// Takes what another process opened.
  public init(from reader: inout ByteReader, descriptors: DescriptorList) throws {
    context = try reader.get()
    kernel = try descriptors.next()
  }

  /// Makes the device: this process is the one whose memory the kernel works on.
  public func build(logger: Logger) throws -> any VirtioDevice {
    // A second descriptor of the same device, for a blueprint is a value.
    let device = VhostDevice(try OwnedDescriptor.duplicate(kernel.number))
    try device.setOwner()
    return try KernelVsockDevice(context: context, kernel: device)
  }
}
