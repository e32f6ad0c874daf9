internal import Logging
internal import Platform
internal import Synchronization

/// What all queues of an activated device share.
struct NetShared: Sendable {
  /// What the driver accepted.
  let features: UInt64
  let filter: SharedFilter
  let losses: FrameLosses
  let link: NetLink
  let taken: TakenFrames
  /// Called, perhaps more than once, when the network has gone for good.
  let onLoss: @Sendable () -> Void
  let transmitLimiter: RateLimiter?
  let receiveLimiter: RateLimiter?
}

/// Whether the card's cable is plugged in, as the machine's user has it, and whether there is a network at its other end.
final class NetLink: Sendable {
  private let isPlugged = Atomic<Bool>(true)
  private let isLost = Atomic<Bool>(false)

  /// Whether frames can pass.
  var isUp: Bool { isPlugged.load(ordering: .acquiring) && !hasNoNetwork }

  /// Whether the network has gone for good.
  var hasNoNetwork: Bool { isLost.load(ordering: .acquiring) }

  /// Plugs the cable in, or pulls it.
  func plug(_ isIn: Bool) { isPlugged.store(isIn, ordering: .releasing) }

  /// Notes that the network has gone; returns whether that is new.
  func lose() -> Bool { !isLost.exchange(true, ordering: .acquiringAndReleasing) }
}

/// Which frames the driver takes at present.
final class TakenFrames: Sendable {
  private let value = Atomic<UInt64>(0)

  /// The features of the driver's that say so; none without a driver.
  var features: UInt64 { value.load(ordering: .acquiring) }

  /// A driver is there, has changed its mind, or has gone.
  func change(to features: UInt64) { value.store(features, ordering: .releasing) }

  /// Whether the driver takes a frame with these flags and this kind of segments (virtio 1.2, section 5.1.6.4). Others may come for a
  /// moment: they were under way when it changed its mind, or came for a former driver.
  func contains(flags: UInt8, segmentation: UInt8) -> Bool {
    guard flags & NetHeader.Flag.needsChecksum != 0 || segmentation != NetHeader.Segmentation.none else { return true }
    let features = features
    func has(_ feature: UInt64) -> Bool { features & feature == feature }
    guard has(NetFeatures.guestChecksum) else { return false }
    let isMarked = segmentation & NetHeader.Segmentation.congestionMark != 0
    switch segmentation & ~NetHeader.Segmentation.congestionMark {
    case NetHeader.Segmentation.none: return !isMarked
    case NetHeader.Segmentation.tcp4: return has(NetFeatures.guestTSO4) && (!isMarked || has(NetFeatures.guestECN))
    case NetHeader.Segmentation.tcp6: return has(NetFeatures.guestTSO6) && (!isMarked || has(NetFeatures.guestECN))
    case NetHeader.Segmentation.udp: return !isMarked && has(NetFeatures.guestUFO)
    // One number for both protocols.
    case NetHeader.Segmentation.udpDatagrams: return !isMarked && features & (NetFeatures.guestUSO4 | NetFeatures.guestUSO6) != 0
    default: return false
    }
  }
}

/// The driver's filter, which the control queue changes and the receive queues read.
final class SharedFilter: Sendable {
  private let filter: Mutex<ReceiveFilter>
  private let changes = Atomic<Int>(0)

  init(_ filter: ReceiveFilter) { self.filter = Mutex(filter) }

  /// Another number after each change.
  var version: Int { changes.load(ordering: .acquiring) }

  /// The filter, and a number that is not newer than it.
  var current: (ReceiveFilter, Int) {
    let version = version
    return (filter.withLock { $0 }, version)
  }

  func change(_ body: (inout ReceiveFilter) -> Void) {
    filter.withLock { body(&$0) }
    changes.wrappingAdd(1, ordering: .releasing)
  }
}

/// Counts frames that are lost, and says so in few lines: a guest, or the network, may cause any number of them.
final class FrameLosses: Sendable {
  /// Why a frame was lost.
  enum Reason: Equatable {
    /// The driver's frame is nonsense.
    case refused(NetRequest.Refusal)
    /// The host did not take or give it; a system error's number.
    case host(Int32)
    /// There is no network any more.
    case networkGone
    /// A received frame is larger than the driver's buffers.
    case noRoom
    /// A received frame needs work that the driver does not do.
    case untaken
    /// A received frame is larger than any.
    case tooLong
    /// The device was stopped while half a frame was there.
    case cutShort
    /// Not a frame, but a buffer of the driver's that has no room for a header.
    case uselessBuffer

    var words: String {
      switch self {
      case .refused(let refusal): "the guest's \(refusal.rawValue)"
      case .host(let code): "the host's network did not take or give them: \(SystemError("frame", code: code).reason)"
      case .networkGone: "the host's network interface is gone"
      case .noRoom: "the guest's buffers are too small for frames that come"
      case .untaken: "frames come that the guest would have to complete, and does not"
      case .tooLong: "frames come that are longer than any packet"
      case .cutShort: "the device was stopped in the middle of one"
      case .uselessBuffer: "the guest gives buffers without room for a header"
      }
    }
  }

  private let logger: Logger
  private let total = Atomic<Int>(0)
  private let quota = Mutex(LineQuota(lines: 5, seconds: 60))

  init(logger: Logger) { self.logger = logger }

  /// How many there were.
  var count: Int { total.load(ordering: .relaxed) }

  func note(_ reason: Reason) {
    let count = total.wrappingAdd(1, ordering: .relaxed).newValue
    let now = monotonicNanoseconds()
    guard quota.withLock({ $0.admit(now: now) }) != nil else { return }
    logger.warning("frames are lost, \(count) by now: \(reason.words)")
  }
}
