public import Platform

/// A network behind a stream socket: plain frames, one pair of queues.
public final class StreamBackend: NetBackend {
  /// Not as for taps, for it has another policy.
  public var threadName: String { "user_net" }
  /// None: frames go as they are.
  public var offloads: NetOffloads { [] }
  /// The socket.
  public let channels: [any FrameChannel]

  /// Takes a connected socket that does not block.
  public init(_ socket: DescriptorBox) throws(SystemError) { channels = [try StreamChannel(socket)] }

  /// There is nothing to say.
  public func accept(_ offloads: NetOffloads) {}

  /// There is one.
  public func use(channels count: Int) {}
}
