/// A connection between a socket of the guest and one of the host.
final class VsockConnection {
  /// The two ports, which name a connection; the guest has one address only.
  struct Key: Hashable {
    let hostPort: UInt32
    let guestPort: UInt32
  }

  enum State {
    /// The guest asked, and the host's socket is being connected.
    case connecting
    /// A host program asked, and the guest has not answered.
    case requested
    case established
    /// The guest has done with it, and its last bytes are on their way to the host program.
    case draining
    case closed
  }

  /// Packets without payload that are to be sent. Each is one bit: however much the guest asks, it takes no more memory.
  struct Owed: OptionSet {
    let rawValue: UInt8
    static let request = Owed(rawValue: 1)
    static let response = Owed(rawValue: 2)
    static let shutdown = Owed(rawValue: 4)
    static let creditUpdate = Owed(rawValue: 8)
    static let creditRequest = Owed(rawValue: 16)
  }

  let key: Key
  /// See `VsockPacket.Kind`.
  let kind: UInt16
  /// How many bytes of the guest's the connection keeps at most, which is what the guest is told.
  let allowance: UInt32
  var state: State
  var socket: HostSocket?
  var owed: Owed = []
  /// Whether it is in the switch's list of those that have something for the guest, or that something happened to.
  var isReady = false
  var isTouched = false

  /// Until when a host program without room for the connection is tried again; nil before the first time.
  var retriesUntil: UInt64?

  // From the guest to the host.
  var incoming: ByteQueue
  /// Of a sequenced socket: the lengths of whole messages in `incoming`, and of the one that follows them.
  var messages = Fifo<UInt32>()
  var openMessage: UInt32 = 0
  /// How many bytes came, went on, and of the latter how many the guest was told of; modulo 2^32.
  var received: UInt32 = 0
  var forwarded: UInt32 = 0
  var toldForwarded: UInt32 = 0
  var isWritable = true
  /// Whether the socket is watched for room to write.
  var isRoomWatched = false
  /// What the guest said it will do no more: bits of `VsockPacket.Flag`.
  var guestShutdown: UInt32 = 0
  var isSendingShut = false

  // From the host to the guest.
  var isReadable = true
  /// Whether the last read took all that there was room for: then more is taken at once.
  var isStreaming = false
  /// What the guest has room for in all, what it took, and what was sent, modulo 2^32.
  var peerAllocation: UInt32 = 0
  var peerForwarded: UInt32 = 0
  var sent: UInt32 = 0
  /// How much credit there must be to go on: of a sequenced socket, the next message's length.
  var neededCredit: UInt32 = 1
  var hasAskedForCredit = false
  /// The host program sends no more.
  var hostEnded = false
  /// The host program takes no more.
  var hostRefuses = false
  /// The host program has closed its socket.
  var isHungUp = false

  init(key: Key, kind: UInt16, allowance: UInt32, state: State) {
    self.key = key
    self.kind = kind
    self.allowance = allowance
    self.state = state
    incoming = ByteQueue(limit: Int(allowance))
  }

  var isSequenced: Bool { kind == VsockPacket.Kind.sequenced }

  /// Whether there is nothing of it for the guest any more.
  var isOver: Bool { state == .closed || state == .draining }

  /// What the guest has to say next, before its time is over; each is waited for once.
  enum Word {
    /// Whether it accepts what a host program asked for.
    case first
    /// That it has closed its end, too.
    case last
  }

  /// Whether a word of the guest's is still to come.
  func awaits(_ word: Word) -> Bool {
    switch word {
    case .first: state == .requested
    case .last: state == .established && hostShutdown == VsockConnection.bothWays && socket == nil
    }
  }

  /// Whether there is something that can go on to the host program: of a message only all.
  var hasWhole: Bool { isSequenced ? !messages.isEmpty : !incoming.isEmpty }

  /// How many bytes the guest has room for. A guest that says it took more than was sent, or that its room shrank, has none.
  var credit: UInt32 {
    let underWay = sent &- peerForwarded
    return underWay < peerAllocation ? peerAllocation - underWay : 0
  }

  /// Whether bytes of the host may be sent to the guest.
  var canSend: Bool {
    state == .established && wantsToSend && credit >= neededCredit
  }

  /// The same, were there credit.
  var wantsToSend: Bool { isReadable && !hostEnded && socket != nil && guestShutdown & VsockPacket.Flag.receive == 0 }

  /// Whether there is something for the guest.
  var hasPacket: Bool { !owed.isEmpty || canSend }

  /// What the host program does no more, as a shutdown packet says it.
  var hostShutdown: UInt32 { (hostEnded ? VsockPacket.Flag.send : 0) | (hostRefuses ? VsockPacket.Flag.receive : 0) }

  /// Neither side sends any more.
  static let bothWays = VsockPacket.Flag.send | VsockPacket.Flag.receive

  /// Notes that bytes went on to the host program, or nowhere: the guest has that room again, and is told when it is worth it.
  func forward(_ count: Int) {
    forwarded &+= UInt32(truncatingIfNeeded: count)
    oweCredit()
  }

  /// Has the guest told of its room when that is worth it: when there is much, or when it waits in the middle of a message.
  func oweCredit() {
    let untold = forwarded &- toldForwarded
    if untold >= allowance / 2 || (openMessage > 0 && untold > 0) { owed.insert(.creditUpdate) }
  }
}
