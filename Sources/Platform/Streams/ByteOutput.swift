/// Where the bytes go that a guest writes to a serial port or console.
///
/// No call blocks. What a slow reader has not taken yet is kept, up to a bound; `hasRoom` tells the device when to make the guest wait.
public protocol ByteOutput: AnyObject, Sendable {
  /// Takes a byte.
  ///
  /// - Returns: Whether there is still room. When there is none, the device should make the guest wait; the room handler is called
  ///   once there is room again. An output takes a little more than it has room for, and drops what comes after that.
  func write(_ byte: UInt8) -> Bool

  /// Takes bytes, in order; otherwise like `write(_ byte:)`.
  func write(_ bytes: [UInt8]) -> Bool

  /// Sets who is told, on the output's own thread, that there is room again after a `write` that returned false.
  func onRoom(_ handler: @escaping @Sendable () -> Void)

  /// Takes no more bytes, and waits until those it has are written or the time is over. Calling it again does nothing.
  func finish(milliseconds: Int32)
}

/// An output that forgets what it is given.
public final class NullOutput: ByteOutput {
  /// Makes the output.
  public init() {}

  /// Forgets the byte.
  public func write(_ byte: UInt8) -> Bool { true }

  /// Forgets the bytes.
  public func write(_ bytes: [UInt8]) -> Bool { true }

  /// Does nothing: there is always room.
  public func onRoom(_ handler: @escaping @Sendable () -> Void) {}

  /// Does nothing: nothing is kept.
  public func finish(milliseconds: Int32) {}
}
