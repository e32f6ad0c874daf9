public import Bus

/// A device on the PCI bus, with one function.
///
/// Several vCPU threads may call at once; a device guards its own state. It knows neither its slot nor its interrupt's number.
public protocol PCIDevice: AnyObject, Sendable {
  /// A short name for log lines, such as `block0`.
  var name: String { get }

  /// The base address registers, so that the root can find them places; they never change.
  var bars: [BAR] { get }

  /// Takes the host that moves the device's ranges on the buses. Called once, before the guest sees the device.
  func connect(_ host: any BARHost)

  /// Who answers accesses in a register's range; asked for the registers of `bars` only.
  func busDevice(forBAR index: Int) -> any BusDevice

  /// Answers a configuration load; see `PCIConfigurationSpace.read`.
  func readConfiguration(offset: Int, width: Int) -> UInt32

  /// Takes a configuration store; see `PCIConfigurationSpace.write`.
  func writeConfiguration(offset: Int, width: Int, value: UInt32)
}

/// Moves a device's ranges on the machine's buses when the guest moves them: the root's side of base address registers.
///
/// A device in a process of its own asks over a socket, which is why the answer says only yes or no.
public protocol BARHost: AnyObject, Sendable {
  /// Makes a register's range answer at `base` and nowhere else; `nil` makes it answer nowhere.
  ///
  /// - Parameter index: The register's number, one of the device's `bars`.
  /// - Returns: Whether the range is now where it was asked to be. Where the guest chose addresses of another device, of RAM, or
  ///   outside the machine's windows, the range answers nowhere.
  func decode(bar index: Int, at base: UInt64?) -> Bool
}
