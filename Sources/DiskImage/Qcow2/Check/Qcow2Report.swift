/// What a check of an image found, counted as `qemu-img check` does.
public struct Qcow2Report: Sendable, Equatable {
  /// Where the last cluster ends that is used or counted, in bytes.
  public internal(set) var imageEnd: UInt64 = 0
  /// Clusters of the disk.
  public internal(set) var totalClusters: UInt64 = 0
  /// Those that are in the file.
  public internal(set) var allocatedClusters: UInt64 = 0
  /// Those of them that do not follow the one before.
  public internal(set) var fragmentedClusters: UInt64 = 0
  /// Those of them that are compressed.
  public internal(set) var compressedClusters: UInt64 = 0
  /// Clusters whose refcount is too high: space that is lost.
  public internal(set) var leaks: UInt64 = 0
  /// Refcounts that are too low, and entries that cannot be right.
  public internal(set) var corruptions: UInt64 = 0
  /// Lost clusters that were given back, and are not counted above.
  public internal(set) var leaksFixed: UInt64 = 0
  /// Errors that were repaired, and are not counted above.
  public internal(set) var corruptionsFixed: UInt64 = 0

  /// Whether the image was not closed when the check began.
  public internal(set) var wasNotClosed = false
  /// Whether the image was marked as corrupt when the check began.
  public internal(set) var wasMarkedCorrupt = false
  /// Whether the image is marked as corrupt still.
  public internal(set) var isMarkedCorrupt = false

  /// Whether nothing is wrong.
  public var isClean: Bool { leaks == 0 && corruptions == 0 && !isMarkedCorrupt }
}

/// What a check changes.
public enum Qcow2Repair: Sendable {
  /// Nothing.
  case nothing
  /// Lost clusters are given back.
  case leaks
  /// Refcounts and flags are made right as well.
  case all
}
