internal import Glibc
internal import Platform
internal import Virtio

/// What the machine's user asks of a balloon, as it goes to the process that has it.
enum BalloonOrder: Equatable {
  /// Take this many bytes in all.
  case setTarget(bytes: UInt64)
  /// Ask the driver how the guest uses its memory. The answer is how many answers there were before.
  case ask
  /// The answer to `ask`, given what that returned; empty while there is none.
  case collect(after: UInt64)

  var encoded: [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .setTarget(let bytes):
      writer.put(UInt8(0))
      writer.put(bytes)
    case .ask:
      writer.put(UInt8(1))
    case .collect(let count):
      writer.put(UInt8(2))
      writer.put(count)
    }
    return writer.bytes
  }

  init(_ bytes: [UInt8]) throws {
    var reader = ByteReader(bytes)
    switch try reader.get(UInt8.self) {
    case 0: self = .setTarget(bytes: try reader.get())
    case 1: self = .ask
    case 2: self = .collect(after: try reader.get())
    default: throw MalformedBytes("it is no order to a balloon")
    }
    try reader.finish()
  }
}

extension BalloonDevice {
  /// Does what the user asks.
  public func perform(_ order: [UInt8]) throws -> [UInt8] {
    var writer = ByteWriter()
    switch try BalloonOrder(order) {
    case .setTarget(let bytes): try setTarget(bytes: bytes)
    case .ask: writer.put(UInt64(clamping: try askForStatistics()))
    case .collect(let count): if let statistics = statistics(after: Int(clamping: count)) { statistics.encode(to: &writer) }
    }
    return writer.bytes
  }
}

/// A balloon as the machine's user sees it, in whichever process it is.
public struct BalloonOperator: Sendable {
  private let perform: @Sendable ([UInt8]) throws -> [UInt8]

  /// Addresses a balloon.
  ///
  /// - Parameter perform: Carries an order to the device and its answer back; see `VirtioDevice.perform`.
  public init(perform: @escaping @Sendable ([UInt8]) throws -> [UInt8]) { self.perform = perform }

  /// Asks the driver to give this many bytes, in all; it does so when it can. Rounded down to pages of 4096 bytes.
  public func setTarget(bytes: UInt64) throws { _ = try perform(BalloonOrder.setTarget(bytes: bytes).encoded) }

  /// Asks the driver how the guest uses its memory.
  ///
  /// - Parameter milliseconds: How long the answer may take.
  /// - Returns: What looks for the answer: nil while there is none.
  /// - Throws: Where it cannot be asked; what is returned, where the time is over.
  public func askForStatistics(milliseconds: Int = 2000) throws -> @Sendable () throws -> BalloonStatistics? {
    var reader = ByteReader(try perform(BalloonOrder.ask.encoded))
    let count: UInt64 = try reader.get()
    let deadline = monotonicNanoseconds() + UInt64(max(0, milliseconds)) * 1_000_000
    return { [perform] in
      let answer = try perform(BalloonOrder.collect(after: count).encoded)
      if !answer.isEmpty { return try BalloonStatistics(answer) }
      guard monotonicNanoseconds() < deadline else { throw BalloonDevice.Refusal.noStatistics }
      return nil
    }
  }
}
