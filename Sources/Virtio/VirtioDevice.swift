public import GuestMemory
public import Platform

/// What kind of device this is (virtio 1.2, section 5).
public struct VirtioDeviceType: RawRepresentable, Hashable, Sendable {
  /// The device ID of the specification.
  public let rawValue: UInt16
  /// Makes a type from the specification's number.
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// A network card (section 5.1).
  public static let net = VirtioDeviceType(rawValue: 1)
  /// A block device (section 5.2).
  public static let block = VirtioDeviceType(rawValue: 2)
  /// A console (section 5.3).
  public static let console = VirtioDeviceType(rawValue: 3)
  /// A source of randomness (section 5.4).
  public static let entropy = VirtioDeviceType(rawValue: 4)
  /// A memory balloon (section 5.5).
  public static let balloon = VirtioDeviceType(rawValue: 5)
  /// Sockets between guest and host (section 5.10).
  public static let socket = VirtioDeviceType(rawValue: 19)
  /// Persistent memory (section 5.19).
  public static let pmem = VirtioDeviceType(rawValue: 27)
}

/// A virtio device without its transport: what every device of this project implements.
///
/// The same object serves in the VMM's process, in a jailed process of its own, and behind vhost-user. It knows neither its slot nor its
/// interrupt. The transport calls it from one thread at a time; `readConfiguration` may come while a worker runs.
public protocol VirtioDevice: AnyObject, Sendable {
  /// The kind of device.
  var type: VirtioDeviceType { get }

  /// The feature bits that belong to the device type (0...23 and 50...63). The transport adds those of rings and transport (24...49).
  var features: UInt64 { get }

  /// The largest size of each queue, each a power of two of at most 32768; the count is the number of queues.
  var queueSizes: [UInt16] { get }

  /// Reads the device's configuration space; bytes beyond its end read as zero.
  ///
  /// - Parameters:
  ///   - offset: From the start of the space, any value.
  ///   - width: 1...8 bytes.
  func readConfiguration(offset: UInt64, width: Int) -> UInt64

  /// Writes the device's configuration space; what cannot be written is ignored.
  func writeConfiguration(offset: UInt64, width: Int, value: UInt64)

  /// Begins to serve the queues: the driver has set DRIVER_OK.
  ///
  /// - Throws: When the device cannot work; the transport then sets DEVICE_NEEDS_RESET.
  func activate(_ activation: VirtioActivation) throws

  /// Stops serving: ends all requests in flight, joins all workers, forgets the activation. Called before the queues are re-used, on
  /// reset and at the end. After it, no memory of the guest is touched. Calling it on a device at rest does nothing.
  func reset()

  /// Holds the device still: requests in flight are completed, and none is begun until `resume`.
  func suspend()

  /// Ends `suspend`; doorbells that rang meanwhile are served.
  func resume()

  /// The device's own state, while suspended, in a form that `restore` of a device with the same configuration reads.
  func snapshot() throws -> [UInt8]

  /// Takes over a state from `snapshot`, before activation.
  func restore(_ state: [UInt8]) throws

  /// Does what the machine's user asks of this kind of device while the machine runs; order and answer are encoded by its own types.
  ///
  /// - Throws: `OrderRefusal`, or the device's own error, with words for the user.
  func perform(_ order: [UInt8]) throws -> [UInt8]

  /// The end of the machine, after the last `reset`: what the guest wrote gets a second to reach its place.
  func finish()
}

extension VirtioDevice {
  /// Most devices take no orders.
  public func perform(_ order: [UInt8]) throws -> [UInt8] { throw OrderRefusal("this device takes no orders") }

  /// Most devices hold nothing back.
  public func finish() {}
}

/// Why a device did not do what the user asked, in words.
public struct OrderRefusal: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is wrong and what to do.
  public let description: String

  /// Makes a refusal.
  public init(_ description: String) { self.description = description }
}

/// What a device gets when the driver is ready.
public struct VirtioActivation: Sendable {
  /// The guest's RAM.
  public let memory: GuestMemory
  /// The feature bits that the driver accepted, of the device and of the transport.
  public let features: UInt64
  /// The queues, in the specification's order; `nil` for one that the driver did not enable.
  public let queues: [VirtQueue?]
  /// How the device interrupts the driver.
  public let interrupt: any VirtioInterrupt

  /// Gathers what a device needs.
  public init(memory: GuestMemory, features: UInt64, queues: [VirtQueue?], interrupt: any VirtioInterrupt) {
    self.memory = memory
    self.features = features
    self.queues = queues
    self.interrupt = interrupt
  }
}

/// The device's way to the driver's attention; the transport implements it. All calls may come from any thread and never block for long.
public protocol VirtioInterrupt: AnyObject, Sendable {
  /// A queue has used buffers that the driver wants to hear of. `VirtQueue.notify` calls this after asking the driver's wishes.
  func signalUsed(queue: UInt16)

  /// Says who else serves a queue, as the host's kernel does. The handler is told now, and at each change, which event interrupts the driver
  /// for that queue; with nil, `signalUsed` is to be called. An event that was told is no longer used when the next call returns.
  ///
  /// - Parameter handler: May be called from any thread, and must call nothing here; nil when nobody else serves the queue any more.
  func lend(queue: UInt16, to handler: (@Sendable (EventFD?) -> Void)?)

  /// The configuration space has changed: the generation counts up and the driver is told (section 2.5).
  func signalConfigurationChange()

  /// The device met something it cannot go on from: sets DEVICE_NEEDS_RESET and tells the driver (section 2.1).
  func deviceNeedsReset(_ reason: String)
}
