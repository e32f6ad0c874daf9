internal import CLinux
internal import Glibc
public import Platform
internal import Synchronization

/// A tap of the host, with an open queue for each pair of the card's.
public final class TapBackend: NetBackend {
  /// What the kernel's taps take.
  public let offloads: NetOffloads
  /// The queues.
  public let channels: [any FrameChannel]
  private let queues: [DescriptorBox]
  /// Whether each queue gets frames.
  private let attached: Mutex<[Bool]>
  /// What the kernel was told last.
  private let accepted = Mutex<NetOffloads>([])

  /// Takes the queues of a tap, all attached, at least one.
  ///
  /// - Parameter offloads: What `Tap.open` found out.
  public init(queues: [DescriptorBox], offloads: NetOffloads) {
    self.queues = queues
    self.offloads = offloads
    channels = queues.map { DescriptorChannel($0) }
    attached = Mutex([Bool](repeating: true, count: queues.count))
  }

  /// Has the kernel do something to the tap. Of one that was deleted there is nothing to set, and its channels tell that it is gone.
  ///
  /// - Parameter gone: What the kernel says then.
  private func order(_ operation: String, gone: Int32 = EBADFD, _ call: () -> Int32) throws(SystemError) {
    do { try retrying(operation) { Int(call()) } } catch { if error.code != gone { throw error } }
  }

  /// Tells the kernel what it may leave to the guest.
  public func accept(_ offloads: NetOffloads) throws(SystemError) {
    guard let queue = queues.first else { return }
    try accepted.withLock { accepted throws(SystemError) in
      guard accepted != offloads else { return }
      try order("set the offloads of a tap") { clinux_ioctl_value(queue.number, clinux_TUNSETOFFLOAD, UInt(offloads.rawValue)) }
      accepted = offloads
    }
  }

  /// Sets the carrier of the tap, which loses what is sent to it without one.
  public func setLink(isUp: Bool) throws(SystemError) {
    guard let queue = queues.first else { return }
    var value: Int32 = isUp ? 1 : 0
    // The kernel reads one number.
    try order("set the carrier of a tap") { unsafe clinux_ioctl_pointer(queue.number, clinux_TUNSETCARRIER, &value) }
  }

  /// Takes the other queues out of the tap, which gives them no frames then.
  public func use(channels count: Int) throws(SystemError) {
    // A tap of one queue cannot be without it.
    guard queues.count > 1 else { return }
    try attached.withLock { attached throws(SystemError) in
      for (index, queue) in queues.enumerated() where attached[index] != (index < count) {
        let flag = index < count ? Int16(clinux_IFF_ATTACH_QUEUE) : Int16(clinux_IFF_DETACH_QUEUE)
        // Whether each has its queue is known, so there is no other reason for EINVAL.
        try order("attach or detach a queue of a tap", gone: EINVAL) { clinux_tun_set_queue(queue.number, flag) }
        attached[index] = index < count
      }
    }
  }
}
