import BasicDevices
import CommandLine

/// The options that give the guest persistent memory.
enum PmemOptions {
  private static let path = Field("path", .path(), isRequired: true, "The image file or block device.")
  private static let readOnly = Field("ro", .boolean, default: "false", "The guest may only read.")
  private static let root = Field("root", .boolean, default: "false", "The guest's kernel mounts this device as its root file system.")
  private static let lock = Field(
    "lock", .boolean, default: "true", "Lock the image against a second user: shared if ro, else exclusive.")

  /// Fields of today's crosvm that ask for what there is not.
  private static let unavailable = ["vma-size", "swap-interval-ms"]

  private static let everyField = FieldTable(
    [path.description, readOnly.description, root.description, lock.description], unavailable: unavailable)
  private static let fieldsOfFixedKind = FieldTable([path.description, lock.description], unavailable: unavailable)

  static let pmem = Option(
    "pmem", .fields(everyField) { fields throws(ValueError) in try device(fields, isReadOnly: nil) }, isRepeatable: true,
    "Add persistent memory: an image that the guest finds in its memory. Those of all options are /dev/pmem0, /dev/pmem1 and on, in the order in which"
      + " they are given.")

  static let pmemDevice = fixed(
    "pmem-device", isReadOnly: true, "Add read-only persistent memory. Takes the keys of --pmem but ro and root.")

  static let rwPmemDevice = fixed(
    "rw-pmem-device", isReadOnly: false, "Add writable persistent memory. Takes the keys of --pmem but ro and root.")

  private static func fixed(_ name: String, isReadOnly: Bool, _ summary: String) -> Option<PmemConfiguration> {
    let type = ValueType.fields(fieldsOfFixedKind) { fields throws(ValueError) in try device(fields, isReadOnly: isReadOnly) }
    return Option(name, type.withoutExplanation, isRepeatable: true, summary)
  }

  private static func device(_ fields: Fields, isReadOnly: Bool?) throws(ValueError) -> PmemConfiguration {
    var device = PmemConfiguration(path: try fields.require(path))
    if let isReadOnly {
      device.isReadOnly = isReadOnly
    } else {
      device.isReadOnly = try fields.value(readOnly) ?? device.isReadOnly
      device.isRoot = try fields.value(root) ?? device.isRoot
    }
    device.isLocked = try fields.value(lock) ?? device.isLocked
    return device
  }
}
