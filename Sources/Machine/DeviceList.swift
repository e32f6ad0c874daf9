internal import BasicDevices
internal import BlockDevice
internal import Logging
internal import Platform
internal import Virtio

/// A virtio device with the name that log lines call it by.
struct NamedVirtioDevice {
  let name: String
  let device: any VirtioDevice
  var offersPackedRing = false
}

/// Builds the virtio devices that a configuration asks for, in the order of their PCI slots. A new device adds its line here.
func virtioDeviceList(_ configuration: VMConfiguration, ports: SerialPorts, logger: Logger) throws -> [NamedVirtioDevice] {
  var devices: [NamedVirtioDevice] = []
  for (index, disk) in configuration.disks.enumerated() {
    devices.append(
      NamedVirtioDevice(name: "block\(index)", device: try BlockDevice(disk, logger: logger), offersPackedRing: disk.usesPackedQueue))
  }
  if configuration.hasEntropyDevice { devices.append(NamedVirtioDevice(name: "rng", device: EntropyDevice())) }
  devices += ports.consoles
  if configuration.hasBalloon { devices.append(NamedVirtioDevice(name: "balloon", device: try BalloonDevice(logger: logger))) }
  return devices
}
