/// What the user sets for one persistent memory device of the guest.
public struct PmemConfiguration: Sendable, Equatable {
  /// The image file or block device on the host.
  public var path: String

  /// Whether the guest may only read.
  public var isReadOnly: Bool

  /// Whether the guest's kernel mounts this device as its root file system.
  ///
  /// At most one disk or persistent memory device of a machine may be the root.
  public var isRoot: Bool

  /// Whether the image is locked against a second user: shared where read-only, exclusive otherwise.
  public var isLocked: Bool

  /// Makes the configuration of a writable device with the defaults of the command line.
  ///
  /// - Parameters:
  ///   - path: The image file or block device on the host.
  ///   - isReadOnly: Whether the guest may only read.
  ///   - isRoot: Whether the guest's kernel mounts this device as its root file system.
  public init(path: String, isReadOnly: Bool = false, isRoot: Bool = false) {
    self.path = path
    self.isReadOnly = isReadOnly
    self.isRoot = isRoot
    isLocked = true
  }
}
