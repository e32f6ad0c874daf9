internal import Platform
public import Virtio

/// A network card as the machine's user sees it, in whichever process it is.
public struct NetOperator: Sendable {
  private let perform: @Sendable ([UInt8]) throws -> [UInt8]

  /// Addresses a card.
  ///
  /// - Parameter perform: Carries an order to the device and its answer back; see `VirtioDevice.perform`.
  public init(perform: @escaping @Sendable ([UInt8]) throws -> [UInt8]) { self.perform = perform }

  /// Plugs the card's cable in, or pulls it; the guest sees its link come or go.
  ///
  /// - Throws: Why that cannot be, as the device tells it.
  public func setLink(isUp: Bool) throws {
    var writer = ByteWriter()
    writer.put(isUp)
    _ = try perform(writer.bytes)
  }
}

/// What a network card is made of, of whichever kind.
public protocol NetworkCard: DeviceBlueprint {
  /// What the user should know of its network.
  var warnings: [String] { get }
}

extension NetworkCard {
  /// Nothing.
  public var warnings: [String] { [] }
}
