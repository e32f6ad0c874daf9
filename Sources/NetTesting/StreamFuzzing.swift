internal import CLinux
internal import Glibc
internal import GuestMemory
internal import NetDevice
internal import Platform
internal import VirtioTesting

/// Plays a card and the program behind it (passt, as a rule) on a stream of frames, and checks what the stream promises: each frame that is
/// whole arrives as it was sent, in order; what is no frame ends the stream; nobody waits.
///
/// The bytes are a script, of which each step is a letter and its operands.
public func fuzzNetStream(_ bytes: [UInt8]) {
  guard let session = try? StreamSession(script: bytes) else { return }
  session.play()
}

private final class StreamSession {
  private static let headerSize = NetHeader.size
  private static let room = 4 << 16
  /// Where the card's buffers are, and where the frames that it sends are.
  private static let (receiveAt, sendAt) = (UInt64(0), UInt64(room))

  private var script: ArraySlice<UInt8>
  private let channel: StreamChannel
  private let memory: GuestMemory
  private var socket: DescriptorBox?
  /// What the program wrote that the card has not taken yet, and what of it did not fit the socket.
  private var written: [UInt8] = []
  private var unwritten: [UInt8] = []
  /// What the card sent that the program has not read yet.
  private var sent: [UInt8] = []
  private var frames = 0

  init(script: [UInt8]) throws {
    self.script = script[...]
    let (ours, theirs) = try socketPair(SOCK_STREAM)
    // So little fits that frames go in part.
    var size: Int32 = 4096
    for end in [ours, theirs] {
      unsafe _ = setsockopt(end.number, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }
    channel = try StreamChannel(ours)
    socket = theirs
    memory = try GuestMemory(regions: [(GuestAddress(0), UInt64(2 * StreamSession.room))])
  }

  func play() {
    for _ in 0..<200 {
      guard let step = script.popFirst() else { break }
      switch step {
      case UInt8(ascii: "w"): write(take(Int(operand())))
      case UInt8(ascii: "f"): write(frame(length: long()))
      case UInt8(ascii: "r"): receive()
      case UInt8(ascii: "s"): send(length: long(), pieces: Int(operand()) + 1)
      case UInt8(ascii: "p"): read(long())
      case UInt8(ascii: "g"): channel.sendRest()
      case UInt8(ascii: "e"): socket = nil
      default: continue
      }
    }
    finish()
  }

  /// What is on its way arrives, as long as somebody is there.
  private func finish() {
    while socket != nil, !channel.isLost, !sent.isEmpty {
      let before = sent.count
      channel.sendRest()
      read(StreamSession.room)
      precondition(sent.count < before || channel.isLost, "the rest of a frame goes when there is room")
    }
    while case .done = receive() { flush() }
  }

  // MARK: The script

  private func operand() -> UInt8 { script.popFirst() ?? 0 }
  private func long() -> Int { Int(operand()) << 8 | Int(operand()) }

  private func take(_ count: Int) -> [UInt8] {
    defer { script = script.dropFirst(count) }
    return Array(script.prefix(count))
  }

  private func pattern(_ count: Int) -> [UInt8] {
    frames += 1
    return (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ frames) }
  }

  /// A length, the most significant byte first.
  private func prefix(_ length: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) } }

  private func frame(length: Int) -> [UInt8] {
    prefix(length) + pattern(length)
  }

  // MARK: The program

  private func write(_ bytes: [UInt8]) {
    unwritten += bytes.prefix(max(0, StreamSession.room - unwritten.count))
    flush()
  }

  private func flush() {
    guard let number = socket?.number, !unwritten.isEmpty else { return }
    let count = unsafe Glibc.send(number, unwritten, unwritten.count, Int32(MSG_NOSIGNAL))
    guard count > 0 else { return }
    written += unwritten.prefix(count)
    unwritten.removeFirst(count)
  }

  private func read(_ count: Int) {
    guard let number = socket?.number, count > 0 else { return }
    var bytes = [UInt8](repeating: 0, count: count)
    let got = unsafe Glibc.read(number, &bytes, count)
    guard got > 0 else { return }
    precondition(got <= sent.count && sent.starts(with: bytes.prefix(got)), "the program reads what the card sent, and nothing else")
    sent.removeFirst(got)
  }

  // MARK: The card

  private func list(_ start: UInt64, _ sizes: [Int]) -> FrameBuffers? {
    guard let buffers = try? FrameBuffers() else { return nil }
    var at = start
    for size in sizes {
      guard let slice = try? memory.slice(GuestAddress(at), count: UInt64(size)) else { return nil }
      buffers.append(slice)
      at += UInt64(size)
    }
    return buffers
  }

  private func send(length: Int, pieces: Int) {
    let bytes = pattern(length)
    let each = max(1, (length + pieces - 1) / pieces)
    let sizes = stride(from: 0, to: length, by: each).map { min(each, length - $0) }
    guard let buffers = list(StreamSession.sendAt, [StreamSession.headerSize] + sizes) else { return }
    let place = GuestAddress(StreamSession.sendAt + UInt64(StreamSession.headerSize))
    try? memory.write(bytes, at: place)
    switch channel.send(buffers) {
    case .done(let count):
      precondition(count == StreamSession.headerSize + length && isFrame(length))
      sent += prefix(length) + bytes
      // The driver may change its buffers at once.
      try? memory.write([UInt8](repeating: 0xee, count: length), at: place)
    case .wouldBlock: precondition(!sent.isEmpty, "an empty socket takes a frame")
    case .refused(let code): precondition(code == EMSGSIZE && !isFrame(length))
    case .gone: precondition(channel.isLost && isOver)
    }
  }

  /// Whether the stream may have ended: the program is gone, or what comes next is no frame.
  private var isOver: Bool {
    guard socket != nil else { return true }
    return nextLength.map { !isFrame($0) } ?? false
  }

  private func isFrame(_ length: Int) -> Bool { (1...NetRequest.frameLimit).contains(length) }

  private var nextLength: Int? {
    written.count >= 4 ? written.prefix(4).reduce(0) { $0 << 8 | Int($1) } : nil
  }

  @discardableResult private func receive() -> FrameOutcome {
    let sizes = (0...Int(operand() & 3)).map { _ in Int(operand()) * 257 + 1 }
    guard let buffers = list(StreamSession.receiveAt, sizes) else { return .wouldBlock }
    let outcome = channel.receive(buffers)
    let length = nextLength ?? 1
    let isWhole = nextLength != nil && written.count >= 4 + length
    switch outcome {
    case .done(let count):
      precondition(isWhole && isFrame(length) && count == StreamSession.headerSize + length)
      let wanted = [UInt8](repeating: 0, count: StreamSession.headerSize) + written[4..<4 + length]
      let room = min(sizes.reduce(0, +), wanted.count)
      let found = try? memory.read(count: room, at: GuestAddress(StreamSession.receiveAt))
      precondition(found.map { $0.elementsEqual(wanted.prefix(room)) } ?? false, "the card gets what the program sent")
      written.removeFirst(4 + length)
      flush()
    case .wouldBlock:
      precondition(!isWhole && isFrame(length) && socket != nil, "what is there is received")
      // A frame that is longer than the socket comes as there is room.
      flush()
    case .refused: preconditionFailure("a stream refuses nothing")
    case .gone: precondition(channel.isLost && isOver)
    }
    return outcome
  }
}
