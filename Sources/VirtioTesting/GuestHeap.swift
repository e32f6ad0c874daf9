public import GuestMemory

/// Bytes of guest memory as a driver knows them: an address and a length.
public struct GuestBuffer: Hashable, Sendable {
  /// Where the bytes begin.
  public let address: UInt64
  /// How many there are.
  public let count: UInt32

  /// Names bytes of guest memory, which need not exist.
  public init(address: UInt64, count: UInt32) {
    self.address = address
    self.count = count
  }
}

/// Hands out pieces of a range of guest memory, one after the other.
public struct GuestHeap: Sendable {
  /// The memory that the pieces are in.
  public let memory: GuestMemory
  private let end: UInt64
  private var next: UInt64
  private var mark: UInt64

  /// Begins at `base`; the range need not be in guest memory, which the user of the pieces will notice.
  public init(_ memory: GuestMemory, base: UInt64, count: UInt64) {
    self.memory = memory
    next = base
    mark = base
    end = base.addingReportingOverflow(count).partialValue
  }

  /// Takes a piece.
  ///
  /// - Parameters:
  ///   - count: In bytes.
  ///   - alignment: A power of two.
  public mutating func allocate(_ count: UInt64, alignment: UInt64 = 16) throws(TestingError) -> UInt64 {
    let start = (next + alignment - 1) & ~(alignment - 1)
    guard start <= end, count <= end - start else { throw .full("the guest's heap") }
    next = start + count
    return start
  }

  /// Keeps what is allocated now for good.
  public mutating func keep() { mark = next }

  /// Takes back all pieces since `keep`.
  public mutating func reset() { next = mark }
}
