internal import Virtio

/// Bytes on their way from the guest to a host program that does not take them yet. Takes no more memory than its limit; none while it is empty.
struct ByteQueue {
  private var storage: [UInt8] = []
  /// Where the first byte is that was not taken yet.
  private var head = 0
  private let limit: Int

  /// - Parameter limit: The most bytes that are in the queue at a time, which is for the user to see to.
  init(limit: Int) { self.limit = limit }

  var count: Int { storage.count - head }
  var isEmpty: Bool { count == 0 }

  /// Appends payload of a packet.
  ///
  /// - Throws: `outOfBounds` when the packet ends before that; nothing is appended then.
  mutating func append(_ count: Int, from reader: inout ChainReader) throws(ChainError) {
    guard UInt64(count) <= reader.remaining else {
      throw .outOfBounds(offset: reader.offset, count: UInt64(count), available: reader.offset + reader.remaining)
    }
    makeRoom(count)
    let start = storage.count
    storage.append(contentsOf: repeatElement(0, count: count))
    var span = storage.mutableSpan
    // Any byte is a valid `UInt8`.
    var bytes = unsafe span.mutableBytes
    var target = bytes._mutatingExtracting(start..<start + count)
    try reader.read(into: &target)
  }

  /// Moves what is left to the front rather than take more memory than the limit.
  private mutating func makeRoom(_ more: Int) {
    guard storage.count + more > storage.capacity else { return }
    if head > 0, head >= storage.count / 2 || storage.count + more > limit {
      storage.removeSubrange(..<head)
      head = 0
    }
    let needed = storage.count + more
    if needed > storage.capacity { storage.reserveCapacity(min(max(2 * storage.capacity, needed), max(limit, needed))) }
  }

  /// Lends the first bytes to a system call.
  func withFirst<Result>(_ count: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    unsafe storage.withUnsafeBytes { bytes in
      let start = min(head, bytes.count)
      return unsafe body(UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + max(0, count), bytes.count)]))
    }
  }

  /// Forgets the first bytes.
  mutating func remove(_ count: Int) {
    head += min(max(0, count), self.count)
    if head == storage.count { removeAll() }
  }

  /// Forgets all.
  mutating func removeAll() {
    storage = []
    head = 0
  }
}
