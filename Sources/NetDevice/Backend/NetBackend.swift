public import Platform

/// The network behind a card: where its frames go to and come from, through a channel for each pair of queues.
///
/// Everything is open already; no call opens anything.
public protocol NetBackend: AnyObject, Sendable {
  /// What the names of threads that serve the network begin with; at most 8 bytes.
  var threadName: String { get }

  /// What the network takes from the guest beyond plain frames, and can be told to give it.
  var offloads: NetOffloads { get }

  /// The way of each pair of queues, at least one; no two threads use the same.
  var channels: [any FrameChannel] { get }

  /// Says what the guest takes, of `offloads`. At first it takes plain frames only.
  func accept(_ offloads: NetOffloads) throws(SystemError)

  /// Lets frames come by the first `count` channels only, from 1; at first by all.
  func use(channels count: Int) throws(SystemError)

  /// Tells the network whether the card's cable is plugged in; at first it is.
  func setLink(isUp: Bool) throws(SystemError)
}

extension NetBackend {
  /// Most networks have no notion of it.
  public func setLink(isUp: Bool) {}

  /// As the device is called.
  public var threadName: String { "net" }
}

/// One way into a network, used by one thread at a time.
public protocol FrameChannel: AnyObject, Sendable {
  /// Becomes readable when a frame has come, and writable when one can be sent after `wouldBlock`; lent.
  var descriptor: Int32 { get }

  /// Whether the network has gone for good.
  var isLost: Bool { get }

  /// Notes that the descriptor has hung up, after what it still had was received, or cannot be.
  func hangUp()

  /// Sends a frame: the bytes of the buffers, of which the first `NetHeader.size` are the header. Never waits.
  func send(_ frame: FrameBuffers) -> FrameOutcome

  /// Goes on with a frame that was sent in part, after the descriptor has become writable. Never waits.
  func sendRest()

  /// Fills the buffers from their start with a header and the next frame; what does not fit is lost. Never waits.
  ///
  /// The header's count of buffers is left as it was.
  func receive(_ buffers: FrameBuffers) -> FrameOutcome
}

extension FrameChannel {
  /// Most networks outlive the card.
  public var isLost: Bool { false }

  /// What is gone is told by its calls.
  public func hangUp() {}

  /// Most channels take frames as a whole.
  public func sendRest() {}
}

/// What became of a frame.
public enum FrameOutcome: Equatable, Sendable {
  /// So many bytes were sent or received, the header's included.
  case done(Int)
  /// There is no frame, or no room for one: the descriptor tells when there is.
  case wouldBlock
  /// The network did not take this frame, for the reason that the number of a system error tells; others may fare better.
  case refused(Int32)
  /// The network is no longer there.
  case gone
}
