public import GuestMemory

/// What a driver did wrong with a queue. The queue is of no use afterwards; the device asks to be reset.
public enum QueueError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The size is zero, above the queue's maximum, or, for a split ring, not a power of two (sections 2.7 and 2.8).
  case badSize(UInt16, maximum: UInt16)
  /// An area of the ring is not aligned as sections 2.7 and 2.8 demand.
  case misaligned(QueueArea, GuestAddress, alignment: UInt64)
  /// An area of the ring is not wholly in one piece of guest memory.
  case outsideMemory(QueueArea, GuestAddress, count: UInt64)
  /// Two areas of the ring share bytes.
  case overlap(QueueArea, QueueArea)
  /// The driver's index is further ahead than the queue has entries (section 2.7.6), or went back.
  case indexJump(from: UInt16, to: UInt16, size: UInt16)
  /// A head or a next field names a descriptor beyond the table.
  case badDescriptorIndex(UInt32, entries: UInt32)
  /// The head, or the buffer ID, belongs to a request that the device still works on.
  case alreadyInFlight(UInt16)
  /// The chain has more descriptors than allowed, which a loop has too (section 2.7.5.2).
  case chainTooLong(limit: UInt32)
  /// The buffers of a chain exceed 2^32 bytes together (section 2.7.5.2).
  case chainTooLarge
  /// A buffer of no bytes.
  case emptyBuffer(GuestAddress)
  /// A buffer that is not wholly in one piece of guest memory.
  case bufferOutsideMemory(GuestAddress, count: UInt32)
  /// A device-readable buffer behind a device-writable one (section 2.7.4.2).
  case readableAfterWritable
  /// An indirect descriptor that the rules of sections 2.7.5.3 and 2.8.7 forbid.
  case badIndirect(String)
  /// A buffer ID of a packed ring that is not below the queue's size.
  case badBufferID(UInt16, size: UInt16)
  /// A saved state that does not belong to a queue like this one.
  case badState(String)

  /// The failure in words, with the values.
  public var description: String {
    switch self {
    case .badSize(let size, let maximum): "size \(size) is not allowed (maximum \(maximum); split rings need a power of two)"
    case .misaligned(let area, let address, let alignment): "the \(area.rawValue) at \(address) is not aligned to \(alignment) bytes"
    case .outsideMemory(let area, let address, let count):
      "the \(area.rawValue) at \(address) (\(count) bytes) is not in guest memory"
    case .overlap(let first, let second): "the \(first.rawValue) and the \(second.rawValue) overlap"
    case .indexJump(let old, let new, let size): "the available index went from \(old) to \(new) in a queue of \(size)"
    case .badDescriptorIndex(let index, let entries): "descriptor \(index) is not in the table of \(entries)"
    case .alreadyInFlight(let id): "descriptor \(id) was made available again before it was used"
    case .chainTooLong(let limit): "a descriptor chain loops or has more than \(limit) descriptors"
    case .chainTooLarge: "a descriptor chain has more than 4294967296 bytes"
    case .emptyBuffer(let address): "the buffer at \(address) has no bytes"
    case .bufferOutsideMemory(let address, let count): "the buffer at \(address) (\(count) bytes) is not in guest memory"
    case .readableAfterWritable: "a device-readable buffer follows a device-writable one"
    case .badIndirect(let reason): "an indirect descriptor \(reason)"
    case .badBufferID(let id, let size): "buffer ID \(id) is not below the queue's size of \(size)"
    case .badState(let reason): "the saved state does not fit: \(reason)"
    }
  }
}

/// The three areas of a ring (virtio 1.2, section 2.6): the names are the specification's, for both formats.
public enum QueueArea: String, Sendable {
  /// The descriptor table, or the descriptor ring of a packed queue.
  case descriptors = "descriptor area"
  /// The available ring, or the driver's event suppression structure of a packed queue.
  case driver = "driver area"
  /// The used ring, or the device's event suppression structure of a packed queue.
  case device = "device area"
}
