internal import GuestMemory
internal import Platform
internal import Virtio

/// A request for random bytes: any number of writable buffers (virtio 1.2, section 5.4.6).
enum EntropyRequest {
  /// The most bytes for one request: a device may fill less than the driver offers, and the driver asks again.
  static let limit: UInt64 = 64 << 10

  /// How many bytes the request gets.
  static func size(of chain: DescriptorChain) -> UInt64 { min(chain.writableBytes, limit) }

  /// Fills the request's buffers from the kernel's generator, without a copy.
  ///
  /// - Parameter pieces: Storage to be used again and again.
  /// - Returns: The number of bytes written; zero for a request that has no room for any.
  static func fill(_ chain: DescriptorChain, pieces: inout [GuestSlice]) throws(EntropyError) -> UInt32 {
    pieces.removeAll(keepingCapacity: true)
    let size = size(of: chain)
    do { try chain.slices(from: 0, count: size, of: .writable, into: &pieces) } catch { throw .request(error) }
    do { for piece in pieces { try fill(piece) } } catch { throw .system(error) }
    // Fits: at most `limit`.
    return UInt32(size)
  }

  private static func fill(_ piece: GuestSlice) throws(SystemError) {
    let result = unsafe piece.withUnsafePointer { start in
      // The slice has that many bytes, and only the kernel touches them.
      Result { () throws(SystemError) in try unsafe KernelRandom.fill(start, count: piece.count) }
    }
    try result.get()
  }
}

/// Why a request got no random bytes.
enum EntropyError: Error, CustomStringConvertible {
  case request(ChainError)
  case system(SystemError)

  var description: String {
    switch self {
    case .request(let error): error.description
    case .system(let error): error.description
    }
  }
}
