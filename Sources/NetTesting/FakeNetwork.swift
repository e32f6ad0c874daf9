package import Glibc
public import NetDevice
public import Platform
internal import Synchronization

/// A network of socket pairs: a test is the other side, and sends and receives frames with their headers.
public final class FakeNetwork: NetBackend {
  /// What the device asked of the network.
  public struct Record: Sendable {
    /// What the guest takes, each time it was said.
    public var accepted: [NetOffloads] = []
    /// How many channels are used, each time it was said.
    public var used: [Int] = []
    /// Whether there is a link, each time it was said.
    public var links: [Bool] = []
  }

  /// What the device may use.
  public let offloads: NetOffloads
  /// The device's ends.
  public let channels: [any FrameChannel]
  private let peers: [DescriptorBox]
  private let state = Mutex(Record())

  /// Makes a network.
  ///
  /// - Parameters:
  ///   - pairs: The number of channels.
  ///   - offloads: What the device may use; everything by default.
  public init(pairs: Int = 1, offloads: NetOffloads = [.checksum, .tso4, .tso6, .ecn, .ufo, .uso4, .uso6]) throws(SystemError) {
    self.offloads = offloads
    var channels: [any FrameChannel] = []
    var peers: [DescriptorBox] = []
    for _ in 0..<pairs {
      let (ours, theirs) = try socketPair(SOCK_SEQPACKET)
      channels.append(DescriptorChannel(ours))
      peers.append(theirs)
    }
    self.channels = channels
    self.peers = peers
  }

  /// What the device asked for so far.
  public var record: Record { state.withLock { $0 } }

  /// Notes what the guest takes.
  public func accept(_ offloads: NetOffloads) { state.withLock { $0.accepted.append(offloads) } }

  /// Notes how many channels are used.
  public func use(channels count: Int) { state.withLock { $0.used.append(count) } }

  /// Notes whether there is a link.
  public func setLink(isUp: Bool) { state.withLock { $0.links.append(isUp) } }

  /// Sends a frame to the guest.
  ///
  /// - Parameter bytes: With its header, at least a byte.
  /// - Returns: Whether there was room for it.
  public func send(_ bytes: [UInt8], pair: Int = 0) -> Bool {
    // A message of so many bytes of an array.
    unsafe write(peers[pair].number, bytes, bytes.count) == bytes.count
  }

  /// The next frame that the guest sent, with its header; `nil` when none comes in time.
  public func receive(pair: Int = 0, milliseconds: Int32 = 10_000) -> [UInt8]? {
    var entry = pollfd(fd: peers[pair].number, events: Int16(POLLIN), revents: 0)
    // One entry, which lives across the call.
    guard unsafe poll(&entry, 1, milliseconds) > 0 else { return nil }
    var bytes = [UInt8](repeating: 0, count: 1 << 17)
    // The array has room for that many.
    let count = unsafe read(peers[pair].number, &bytes, bytes.count)
    return count > 0 ? Array(bytes.prefix(count)) : nil
  }

  /// The network goes away, as a tap that is deleted.
  public func disappear() {
    // A socket signals a write that nobody can read; a tap does not.
    signal(SIGPIPE, SIG_IGN)
    for peer in peers { _ = peer.take() }
  }
}

/// Makes two Unix sockets of a type that are connected to each other and do not block.
package func socketPair(_ type: __socket_type) throws(SystemError) -> (DescriptorBox, DescriptorBox) {
  var ends: [Int32] = [-1, -1]
  let type = Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
  // The array has room for both.
  guard unsafe socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw SystemError.last("make a pair of sockets") }
  return (DescriptorBox(OwnedDescriptor(owning: ends[0])), DescriptorBox(OwnedDescriptor(owning: ends[1])))
}
