internal import PCI

extension PCIIdentity {
  /// Who assigned the numbers of all virtio devices (virtio 1.2, section 4.1.2).
  static let virtioVendor: UInt16 = 0x1af4
  /// What is added to the device type's number.
  static let firstVirtioDevice: UInt16 = 0x1040

  /// The numbers of a virtio device without legacy interface (section 4.1.2.1).
  init(_ type: VirtioDeviceType) {
    let device = Self.firstVirtioDevice &+ type.rawValue
    self.init(
      vendor: Self.virtioVendor, device: device, revision: 1, classCode: Self.classCodes[type.rawValue] ?? 0xff_0000,
      subsystemVendor: Self.virtioVendor, subsystem: device)
  }

  /// The class by which tools name the device; drivers do not look at it. Types that are not here have no class of their own.
  private static let classCodes: [UInt16: UInt32] = [
    1: 0x02_0000,  // Network: Ethernet controller.
    2: 0x01_8000,  // Block: other mass storage.
    3: 0x07_8000,  // Console: other communication.
    8: 0x01_0000,  // SCSI host: SCSI controller.
    16: 0x03_8000,  // Graphics: other display.
    18: 0x09_8000,  // Input: other input.
    25: 0x04_0100,  // Sound: audio device.
    26: 0x01_8000,  // File system: other mass storage.
  ]
}
