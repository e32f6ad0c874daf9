internal import CLinux
internal import Glibc
internal import GuestMemory

/// A list of pieces of guest memory for one system call (readv(2)); keeps its storage from call to call.
struct GuestVectors: ~Copyable {
  /// The most pieces that the kernel takes at once.
  static let limit = 1024

  private var slices: [GuestSlice] = []
  /// How many bytes there are in all.
  private(set) var byteCount = 0

  init() { slices.reserveCapacity(64) }

  var count: Int { slices.count }

  mutating func removeAll() {
    slices.removeAll(keepingCapacity: true)
    byteCount = 0
  }

  /// Adds the next bytes of a packet to be sent, as far as there is room in the list.
  mutating func append(_ gathered: [GuestSlice]) {
    for slice in gathered where slices.count < GuestVectors.limit {
      slices.append(slice)
      byteCount += slice.count
    }
  }

  /// Lends the list to a system call. The guest may change the memory meanwhile.
  borrowing func withMessage<Result>(_ body: (UnsafeMutablePointer<msghdr>) -> Result) -> Result {
    unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: max(1, slices.count)) { list in
      for (index, slice) in slices.enumerated() {
        // The slices outlive the call, and with them the memory.
        let start = unsafe slice.withUnsafePointer { unsafe $0 }
        unsafe list.initializeElement(at: index, to: iovec(iov_base: start, iov_len: slice.count))
      }
      var message = unsafe msghdr()
      unsafe message.msg_iov = list.baseAddress
      unsafe message.msg_iovlen = slices.count
      return unsafe body(&message)
    }
  }

  /// Notes that the kernel wrote to the memory.
  borrowing func markWritten() { for slice in slices { slice.markWritten() } }
}
