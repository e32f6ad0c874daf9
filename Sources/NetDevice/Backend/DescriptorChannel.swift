internal import CLinux
internal import Glibc
public import Platform
internal import Synchronization

/// A descriptor that takes and gives a frame with its header at each call: a tap's queue, or a socket that keeps messages apart.
public final class DescriptorChannel: FrameChannel {
  private let box: DescriptorBox
  /// The descriptor, lent.
  public let descriptor: Int32
  private let isGone = Atomic<Bool>(false)

  /// Whether the tap was deleted.
  public var isLost: Bool { isGone.load(ordering: .relaxed) }

  /// The descriptor of a deleted tap reports an error from then on, and that of an unused queue none.
  public func hangUp() { isGone.store(true, ordering: .relaxed) }

  /// Takes a descriptor that does not block, and keeps the box.
  public init(_ box: DescriptorBox) {
    self.box = box
    descriptor = box.number
  }

  /// Sends a frame with one call.
  public func send(_ frame: FrameBuffers) -> FrameOutcome { unsafe call(frame) { unsafe writev($0, $1, $2) } }

  /// Receives a frame with one call.
  public func receive(_ buffers: FrameBuffers) -> FrameOutcome { unsafe call(buffers) { unsafe readv($0, $1, $2) } }

  private func call(_ buffers: FrameBuffers, _ body: (Int32, UnsafeMutablePointer<iovec>, Int32) -> Int) -> FrameOutcome {
    let outcome = unsafe buffers.withVectors { list, count in FrameOutcome.of { unsafe body(descriptor, list, count) } }
    if outcome == .gone { hangUp() }
    return outcome
  }
}

extension FrameOutcome {
  /// Makes a system call that sends or receives, again where a signal came in between.
  static func of(_ call: () -> Int) -> FrameOutcome {
    while true {
      let count = call()
      if count > 0 { return .done(count) }
      // The end of a stream.
      if count == 0 { return .gone }
      switch errno {
      case EINTR: continue
      case EAGAIN: return .wouldBlock
      // The first two of a tap and of a macvtap that was deleted.
      case EBADFD, ENOLINK, ENOTCONN, ECONNRESET, EPIPE: return .gone
      case let code: return .refused(code)
      }
    }
  }
}
