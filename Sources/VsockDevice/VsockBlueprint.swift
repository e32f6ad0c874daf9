public import Logging
public import Platform
public import Virtio

/// What a socket device is made of: the guest's address, the sockets at which host programs connect, and the way to theirs.
public struct VsockBlueprint: DeviceBlueprint {
  /// Sockets.
  public static var kind: String { "vsock" }

  private let context: UInt32
  private let path: String
  private let stream: DescriptorBox
  private let sequenced: DescriptorBox
  /// Connects for the device, where it is in a process of its own.
  private let connector: DescriptorBox?

  /// Describes a device.
  ///
  /// - Parameters:
  ///   - context: The guest's context identifier, one of `VsockConfiguration.contexts`.
  ///   - sockets: Where host programs connect; the guest's connections go to sockets of the same path, with `_` and the port after it.
  public init(context: UInt32, sockets: VsockSockets) throws(SystemError) {
    self.context = context
    path = sockets.path
    stream = DescriptorBox(try OwnedDescriptor.duplicate(sockets.stream.number))
    sequenced = DescriptorBox(try OwnedDescriptor.duplicate(sockets.sequenced.number))
    connector = nil
  }

  /// The two listening sockets.
  public var descriptors: [Int32] { [stream.number, sequenced.number] }

  /// The paths that the guest's connections go to.
  public var connectors: [String] { [path + "_"] }

  /// One for each connection, client and socket that is drained, and some on their way.
  public var extraDescriptors: Int { VsockSwitch.Limits().connections + 64 }

  /// Writes the guest's address.
  public func encode(to writer: inout ByteWriter) { writer.put(context) }

  /// Takes what another process opened.
  public init(from reader: inout ByteReader, descriptors: DescriptorList) throws {
    context = try reader.get()
    guard VsockConfiguration.contexts.contains(context) else { throw MalformedBytes("a reserved context identifier") }
    path = ""
    stream = try descriptors.next()
    sequenced = try descriptors.next()
    connector = try descriptors.next()
  }

  /// Makes the device.
  public func build(logger: Logger) throws -> any VirtioDevice {
    let listeners = [
      VsockSwitch.Listener(box: stream, isSequenced: false), VsockSwitch.Listener(box: sequenced, isSequenced: true),
    ]
    let way: any VsockConnector =
      if let box = connector, let descriptor = box.take() {
        RemoteConnector(PacketSocket(descriptor))
      } else {
        DirectConnector(prefix: path + "_")
      }
    return VsockDevice(context: context, table: VsockSwitch(context: context, listeners: listeners, connector: way, logger: logger))
  }
}
