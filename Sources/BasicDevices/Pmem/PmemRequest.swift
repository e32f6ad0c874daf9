internal import Virtio

/// A request to a persistent memory device: a type, 32 bits, and room for the answer, 32 bits (virtio 1.2, section 5.19.6).
enum PmemRequest: Equatable {
  /// VIRTIO_PMEM_REQ_TYPE_FLUSH: what was written to the memory shall be on stable storage.
  case flush
  /// A type that the specification does not know.
  case unknown(UInt32)
  /// Too short for a type.
  case short
  /// Without room for the answer; nothing is done then.
  case unanswerable

  /// Reads a request. What follows the type is not looked at.
  init(_ chain: DescriptorChain) {
    guard chain.writableBytes >= UInt64(PmemAnswer.size) else {
      self = .unanswerable
      return
    }
    var reader = ChainReader(chain)
    guard let type: UInt32 = try? reader.read() else {
      self = .short
      return
    }
    self = type == 0 ? .flush : .unknown(type)
  }
}

/// The answer to a request (virtio 1.2, section 5.19.6).
enum PmemAnswer: UInt32 {
  /// It is done.
  case success = 0
  /// It is not; the driver tells its users of an I/O error.
  case failure = 0xffff_ffff

  static let size = 4
}
