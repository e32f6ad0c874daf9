internal import GuestMemory
public import Virtio

/// The header of a packet (virtio 1.2, section 5.10.6), without its payload.
public struct VsockPacket: Equatable, Sendable {
  /// What a packet is for.
  public enum Operation {
    /// Asks for a connection.
    public static let request: UInt16 = 1
    /// Accepts one.
    public static let response: UInt16 = 2
    /// Refuses or ends one at once.
    public static let reset: UInt16 = 3
    /// Says that the sender will send, or receive, no more.
    public static let shutdown: UInt16 = 4
    /// Carries payload.
    public static let data: UInt16 = 5
    /// Tells of the sender's room.
    public static let creditUpdate: UInt16 = 6
    /// Asks for a credit update.
    public static let creditRequest: UInt16 = 7
  }

  /// What kind of socket a packet belongs to.
  public enum Kind {
    /// A stream of bytes.
    public static let stream: UInt16 = 1
    /// Messages with borders.
    public static let sequenced: UInt16 = 2
  }

  /// Bits of `flags`: of a shutdown, and of the data of sequenced packets.
  public enum Flag {
    /// The sender receives no more.
    public static let receive: UInt32 = 1
    /// The sender sends no more.
    public static let send: UInt32 = 2
    /// The payload ends a message.
    public static let endOfMessage: UInt32 = 1
  }

  /// The number of bytes of a header.
  public static let size = 44
  /// The host's context identifier.
  public static let hostContext: UInt64 = 2

  /// The sender's context identifier.
  public var source: UInt64 = 0
  /// The receiver's context identifier.
  public var destination: UInt64 = 0
  /// The sender's port.
  public var sourcePort: UInt32 = 0
  /// The receiver's port.
  public var destinationPort: UInt32 = 0
  /// The number of bytes of payload.
  public var length: UInt32 = 0
  /// See `Kind`; any value.
  public var kind: UInt16 = Kind.stream
  /// See `Operation`; any value.
  public var operation: UInt16 = 0
  /// See `Flag`.
  public var flags: UInt32 = 0
  /// All the room that the sender has for the connection's payload, in bytes.
  public var allocation: UInt32 = 0
  /// How many bytes of payload the sender has taken so far, modulo 2^32.
  public var forwarded: UInt32 = 0

  /// Makes an empty header.
  public init() {}

  /// Reads the header of a packet that the driver sent.
  ///
  /// - Throws: `outOfBounds` for a request that is shorter.
  public init(_ chain: DescriptorChain) throws(ChainError) {
    var words: InlineArray<6, UInt64> = [0, 0, 0, 0, 0, 0]
    var span = words.mutableSpan
    // Any bytes are valid integers.
    var bytes = unsafe span.mutableBytes
    var target = bytes._mutatingExtracting(0..<VsockPacket.size)
    try chain.copyReadable(offset: 0, into: &target)
    self.init(words)
  }

  private init(_ words: InlineArray<6, UInt64>) {
    source = UInt64(littleEndian: words[0])
    destination = UInt64(littleEndian: words[1])
    (sourcePort, destinationPort) = VsockPacket.halves(words[2])
    let kindAndOperation: UInt32
    (length, kindAndOperation) = VsockPacket.halves(words[3])
    kind = UInt16(truncatingIfNeeded: kindAndOperation)
    operation = UInt16(truncatingIfNeeded: kindAndOperation >> 16)
    (flags, allocation) = VsockPacket.halves(words[4])
    (forwarded, _) = VsockPacket.halves(words[5])
  }

  private static func halves(_ word: UInt64) -> (UInt32, UInt32) {
    let value = UInt64(littleEndian: word)
    return (UInt32(truncatingIfNeeded: value), UInt32(truncatingIfNeeded: value >> 32))
  }

  /// Writes the header to the start of a buffer for the driver.
  ///
  /// - Throws: `outOfBounds` for a buffer that is shorter; nothing is written then.
  public func write(to writer: inout ChainWriter) throws(ChainError) {
    let words: InlineArray<6, UInt64> = [
      source.littleEndian, destination.littleEndian, VsockPacket.word(sourcePort, destinationPort),
      VsockPacket.word(length, UInt32(kind) | UInt32(operation) << 16), VsockPacket.word(flags, allocation), VsockPacket.word(forwarded, 0),
    ]
    // The bytes of integers: every one is initialized.
    try unsafe writer.write(words.span.bytes.extracting(0..<VsockPacket.size))
  }

  private static func word(_ low: UInt32, _ high: UInt32) -> UInt64 { (UInt64(low) | UInt64(high) << 32).littleEndian }
}
