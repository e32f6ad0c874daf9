internal import Logging
internal import Platform
internal import Synchronization

/// What all queues of an activated device share.
struct NetShared: Sendable {
  /// What the driver accepted.
  let features: UInt64
  let filter: SharedFilter
  let losses: FrameLosses
  let transmitLimiter: RateLimiter?
  let receiveLimiter: RateLimiter?
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
