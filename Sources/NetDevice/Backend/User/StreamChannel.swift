internal import CLinux
internal import Glibc
public import Platform

/// A network behind a connected stream socket, on which each frame follows its length: four bytes, the most significant one first. So passt
/// speaks, and QEMU's `stream` network. No header goes along: checksums are whole, and nothing is to be cut.
///
/// A stream takes frames in part. The rest of one is kept and goes first the next time, so that no frame is ever cut short.
@safe public final class StreamChannel: FrameChannel, @unchecked Sendable {
  // Used by one thread at a time, as channels are; no state is shared.

  private static let prefixSize = 4
  /// The most that is read at once: some of the longest frames.
  private static let inputSize = 4 * (prefixSize + NetRequest.frameLimit)
  /// What is free in front of the input: with the length that was read there is room for a header before each frame.
  private static let margin = NetHeader.size - prefixSize
  private static let outputSize = prefixSize + NetRequest.frameLimit

  private let box: DescriptorBox
  /// The socket, lent.
  public let descriptor: Int32
  private let memory: MemoryMapping
  /// Where bytes are that were read and not used yet: offsets from `margin` on.
  private var input = 0..<0
  /// Which part of the frame in the output memory the socket has not taken yet.
  private var output = 0..<0
  /// Whether the other end has gone, or broke the rules, so that nothing can be understood any more.
  public private(set) var isLost = false

  /// The other end has gone.
  public func hangUp() { isLost = true }

  /// Takes a connected socket that does not block.
  public init(_ box: DescriptorBox) throws(SystemError) {
    self.box = box
    descriptor = box.number
    memory = try .anonymous(count: StreamChannel.margin + StreamChannel.inputSize + StreamChannel.outputSize)
  }

  // In bounds: the mapping is the margin, the input and the output, in this order.
  private var inputMemory: UnsafeMutableRawPointer { unsafe memory.base + StreamChannel.margin }
  private var outputMemory: UnsafeMutableRawPointer { unsafe inputMemory + StreamChannel.inputSize }

  // MARK: Sending

  /// Sends a frame behind its length; its header asks for nothing, as no offloads are offered.
  public func send(_ frame: FrameBuffers) -> FrameOutcome {
    if isLost { return .gone }
    let rest = goOn()
    guard case .done = rest else { return rest }
    let length = frame.byteCount - NetHeader.size
    guard length > 0, length <= NetRequest.frameLimit else { return .refused(EMSGSIZE) }
    unsafe outputMemory.storeBytes(of: UInt32(length).bigEndian, as: UInt32.self)
    return unsafe frame.withVectors { list, count in
      // The length takes the place of the header, which is the device's own and the first entry.
      let header = unsafe list[0]
      unsafe list[0] = iovec(iov_base: outputMemory, iov_len: StreamChannel.prefixSize)
      defer { unsafe list[0] = header }
      let outcome = unsafe send(list, Int(count))
      guard case .done(let sent) = outcome else { return outcome }
      if sent < StreamChannel.prefixSize + length { unsafe keep(list, Int(count), from: sent) }
      return .done(NetHeader.size + length)
    }
  }

  /// Copies a frame that was sent in part: the driver may have its buffers back.
  @unsafe private func keep(_ list: UnsafeMutablePointer<iovec>, _ count: Int, from sent: Int) {
    var place = StreamChannel.prefixSize
    for index in 1..<count {
      // In bounds: `send` has seen that the frame is no longer than the memory, and the list does not change meanwhile.
      let length = unsafe min(list[index].iov_len, StreamChannel.outputSize - place)
      guard let source = unsafe list[index].iov_base else { continue }
      unsafe memcpy(outputMemory + place, source, length)
      place += length
    }
    output = min(sent, place)..<place
  }

  /// Sends what is left of the last frame. Should the socket be gone, sending and receiving say so, too.
  public func sendRest() { _ = goOn() }

  private func goOn() -> FrameOutcome {
    while !output.isEmpty {
      // In bounds: part of the output memory.
      var piece = unsafe iovec(iov_base: outputMemory + output.lowerBound, iov_len: output.count)
      let outcome = unsafe send(&piece, 1)
      guard case .done(let sent) = outcome else { return outcome }
      output = (output.lowerBound + sent)..<output.upperBound
    }
    return .done(0)
  }

  /// Sends what it can without waiting. A socket whose other end is gone raises no signal.
  @unsafe private func send(_ list: UnsafeMutablePointer<iovec>, _ count: Int) -> FrameOutcome {
    var message = unsafe msghdr()
    unsafe message.msg_iov = list
    unsafe message.msg_iovlen = count
    let outcome = FrameOutcome.of { unsafe sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL)) }
    if outcome == .gone { isLost = true }
    return outcome
  }

  // MARK: Receiving

  /// Puts the next frame into the buffers, behind a header that says nothing.
  public func receive(_ buffers: FrameBuffers) -> FrameOutcome {
    while !isLost {
      if let frame = nextFrame() { return deliver(frame, to: buffers) }
      if isLost { break }
      switch readMore() {
      case .done: break
      case .gone: isLost = true
      case let outcome: return outcome
      }
    }
    return .gone
  }

  /// The next frame that is there as a whole; its place in the input.
  private func nextFrame() -> Range<Int>? {
    guard input.count >= StreamChannel.prefixSize else { return nil }
    // In bounds: part of the input.
    let length = unsafe Int(UInt32(bigEndian: inputMemory.loadUnaligned(fromByteOffset: input.lowerBound, as: UInt32.self)))
    guard length > 0, length <= NetRequest.frameLimit else {
      isLost = true
      return nil
    }
    guard input.count >= StreamChannel.prefixSize + length else { return nil }
    let start = input.lowerBound + StreamChannel.prefixSize
    return start..<start + length
  }

  private func readMore() -> FrameOutcome {
    // A frame that has begun must have room to end.
    if StreamChannel.inputSize - input.lowerBound < StreamChannel.outputSize || input.isEmpty {
      unsafe memmove(inputMemory, inputMemory + input.lowerBound, input.count)
      input = 0..<input.count
    }
    // In bounds: what of the input memory is behind the bytes that are there; never nothing, for less than a frame is there.
    var piece = unsafe iovec(iov_base: inputMemory + input.upperBound, iov_len: StreamChannel.inputSize - input.upperBound)
    let outcome = FrameOutcome.of { unsafe readv(descriptor, &piece, 1) }
    if case .done(let count) = outcome { input = input.lowerBound..<input.upperBound + count }
    return outcome
  }

  private func deliver(_ frame: Range<Int>, to buffers: FrameBuffers) -> FrameOutcome {
    // In bounds: the margin is there before the first length, and behind it come bytes that were used.
    var source = unsafe inputMemory + frame.lowerBound - NetHeader.size
    unsafe memset(source, 0, NetHeader.size)
    var left = NetHeader.size + frame.count
    unsafe buffers.withVectors { list, count in
      for index in 0..<Int(count) where left > 0 {
        guard let target = unsafe list[index].iov_base else { continue }
        let length = unsafe min(list[index].iov_len, left)
        // In bounds of both: a buffer's length, and what is left of the frame.
        unsafe memcpy(target, source, length)
        unsafe source += length
        left -= length
      }
    }
    input = frame.upperBound..<input.upperBound
    return .done(NetHeader.size + frame.count)
  }
}
