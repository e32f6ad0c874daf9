import CLinux
import Glibc
import Platform
import Testing

@Suite struct PacketSocketTests {
  private let left: PacketSocket
  private let right: PacketSocket

  init() throws { (left, right) = try PacketSocket.pair() }

  private func packet(_ reception: PacketSocket.Reception) throws -> PacketSocket.Packet {
    guard case .packet(let packet) = reception else { throw Absent() }
    return packet
  }

  private struct Absent: Error {}

  private func isNothing(_ reception: PacketSocket.Reception) -> Bool {
    if case .nothing = reception { true } else { false }
  }

  private func isClosed(_ reception: PacketSocket.Reception) -> Bool {
    if case .closed = reception { true } else { false }
  }

  @Test func packetsArriveWholeAndInOrder() throws {
    let sent: [[UInt8]] = [[1], [2, 3], [UInt8](repeating: 4, count: PacketSocket.largestPacket), [5]]
    for bytes in sent { try left.send(bytes) }
    for bytes in sent {
      let packet = try packet(right.receive(milliseconds: 0))
      #expect(packet.bytes == bytes && packet.descriptors.isEmpty)
    }
    #expect(isNothing(try right.receive(milliseconds: 0)))
  }

  @Test func packetsGoBothWays() throws {
    try left.send([1])
    try right.send([2])
    #expect(try packet(left.receive()).bytes == [2])
    #expect(try packet(right.receive()).bytes == [1])
  }

  @Test func aPacketThatIsTooLongIsCutAndItsRestIsLost() throws {
    try left.send([1, 2, 3, 4, 5])
    try left.send([6])
    #expect(try packet(right.receive(limit: 3)).bytes == [1, 2, 3])
    #expect(try packet(right.receive(limit: 3)).bytes == [6])
  }

  // MARK: Descriptors

  @Test func descriptorsArriveInOrderAndWork() throws {
    let first = try TestPipe()
    let second = try TestPipe()
    try left.send([1], descriptors: [first.writeEnd.number, second.writeEnd.number])
    let packet = try packet(right.receive(milliseconds: 0))
    try #require(packet.descriptors.count == 2)
    #expect(unsafe write(packet.descriptors[0].number, "a", 1) == 1 && write(packet.descriptors[1].number, "bc", 2) == 2)
    #expect(first.readAvailable() == [0x61] && second.readAvailable() == [0x62, 0x63])
  }

  @Test func descriptorsThatArriveDoNotSurviveExecve() throws {
    let pipe = try TestPipe()
    try left.send([1], descriptors: [pipe.writeEnd.number])
    let packet = try packet(right.receive(milliseconds: 0))
    #expect(clinux_fcntl(packet.descriptors[0].number, F_GETFD, 0) & FD_CLOEXEC != 0)
    for end in [left, right] { #expect(clinux_fcntl(end.number, F_GETFD, 0) & FD_CLOEXEC != 0) }
  }

  @Test func descriptorsBelongToTheirPacket() throws {
    let pipe = try TestPipe()
    try left.send([1])
    try left.send([2], descriptors: [pipe.writeEnd.number])
    try left.send([3])
    #expect(try (0..<3).map { _ in try packet(right.receive(milliseconds: 0)).descriptors.count } == [0, 1, 0])
  }

  @Test func descriptorsThatNobodyTakesClose() throws {
    var ends: [Int32] = [0, 0]
    try #require(unsafe pipe(&ends) == 0)
    let readEnd = OwnedDescriptor(owning: ends[0])
    do {
      let writeEnd = OwnedDescriptor(owning: ends[1])
      try left.send([1], descriptors: [writeEnd.number])
    }
    do {
      let packet = try packet(right.receive(milliseconds: 0))
      #expect(packet.descriptors.count == 1)
    }
    // The last writer has gone.
    #expect(readSome(readEnd.number) == nil)
  }

  @Test func asManyDescriptorsAsTheLimitArrive() throws {
    let pipe = try TestPipe()
    try left.send([1], descriptors: [Int32](repeating: pipe.writeEnd.number, count: PacketSocket.mostDescriptors))
    let packet = try packet(right.receive(milliseconds: 0))
    #expect(packet.descriptors.count == PacketSocket.mostDescriptors && Set(packet.descriptors.map(\.number)).count == 64)
  }

  /// Another process may send up to 253 (SCM_MAX_FD).
  @Test(arguments: [65, 66, 100, 253]) func descriptorsBeyondTheLimitAreClosed(_ count: Int) throws {
    var ends: [Int32] = [0, 0]
    try #require(unsafe pipe(&ends) == 0)
    let readEnd = OwnedDescriptor(owning: ends[0])
    do {
      let writeEnd = OwnedDescriptor(owning: ends[1])
      #expect(sendMany([Int32](repeating: writeEnd.number, count: count), to: left.number))
    }
    do {
      let packet = try packet(right.receive(milliseconds: 0))
      #expect(packet.bytes == [7] && packet.descriptors.count == PacketSocket.mostDescriptors)
    }
    #expect(readSome(readEnd.number) == nil)
  }

  /// A packet as a process sends it that keeps to no limit.
  private func sendMany(_ descriptors: [Int32], to number: Int32) -> Bool {
    var byte: UInt8 = 7
    var control = [UInt8](repeating: 0, count: clinux_control_space(descriptors.count))
    // All buffers outlive the call.
    return unsafe control.withUnsafeMutableBytes { control in
      unsafe withUnsafeMutablePointer(to: &byte) { byte in
        var vector = unsafe iovec(iov_base: byte, iov_len: 1)
        return unsafe withUnsafeMutablePointer(to: &vector) { vector in
          var message = unsafe msghdr()
          unsafe message.msg_iov = vector
          unsafe message.msg_iovlen = 1
          unsafe message.msg_control = control.baseAddress
          unsafe message.msg_controllen = control.count
          unsafe clinux_put_descriptors(&message, descriptors, descriptors.count)
          return unsafe sendmsg(number, &message, Int32(MSG_DONTWAIT)) == 1
        }
      }
    }
  }

  @Test func aDescriptorThatIsNotOpenIsNotSent() {
    #expect { try left.send([1], descriptors: [-1]) } throws: { ($0 as? SystemError)?.code == EBADF }
  }

  // MARK: Ends

  @Test func packetsOfAPeerThatHasClosedStillArrive() throws {
    let (ours, theirs) = try PacketSocket.pair()
    try theirs.send([1])
    _ = shutdown(theirs.number, Int32(SHUT_RDWR))
    #expect(try packet(ours.receive()).bytes == [1])
    #expect(isClosed(try ours.receive()))
    #expect(isClosed(try ours.receive(milliseconds: 0)))
    #expect { try ours.send([1]) } throws: { ($0 as? SystemError)?.code == EPIPE }
  }

  @Test func aPeerThatClosesWithPacketsUnreadIsAnEnd() throws {
    var theirs: PacketSocket? = nil
    let ours: PacketSocket
    (ours, theirs) = try PacketSocket.pair()
    try ours.send([1])
    #expect(theirs != nil)
    theirs = nil
    // The kernel says ECONNRESET, once.
    #expect(isClosed(try ours.receive(milliseconds: 1000)))
    #expect(isClosed(try ours.receive(milliseconds: 1000)))
    #expect { try ours.send([1]) } throws: { ($0 as? SystemError)?.code == EPIPE }
  }

  @Test func anEmptyPacketIsTakenForAnEnd() throws {
    try left.send([])
    #expect(isClosed(try right.receive(milliseconds: 0)))
  }

  @Test func anEndWakesWhoWaits() throws {
    let thread = try PThread(name: "closer") { [left] in
      usleep(5000)
      _ = shutdown(left.number, Int32(SHUT_RDWR))
    }
    #expect(isClosed(try right.receive()))
    thread.join()
  }

  // MARK: Time

  @Test func waitsNoLongerThanAsked() throws {
    #expect(isNothing(try right.receive(milliseconds: 0)))
    let before = monotonicNanoseconds()
    #expect(isNothing(try right.receive(milliseconds: 20)))
    let waited = monotonicNanoseconds() - before
    #expect(waited >= 20_000_000 && waited < 5_000_000_000)
  }

  @Test func aPacketEndsTheWait() throws {
    let thread = try PThread(name: "sender") { [left] in
      usleep(5000)
      try? left.send([1])
    }
    let before = monotonicNanoseconds()
    #expect(try packet(right.receive(milliseconds: 60_000)).bytes == [1])
    #expect(monotonicNanoseconds() - before < 30_000_000_000)
    thread.join()
  }

  @Test func aFullSocketIsAnErrorForWhoMayNotWait() throws {
    var count = 0
    #expect {
      while count < 100_000 {
        try left.send([UInt8](repeating: 1, count: 1000), mayWait: false)
        count += 1
      }
    } throws: { ($0 as? SystemError)?.code == EAGAIN }
    // All that was sent arrives, and then there is room again.
    for _ in 0..<count { #expect(try packet(right.receive(milliseconds: 0)).bytes.count == 1000) }
    #expect(isNothing(try right.receive(milliseconds: 0)))
    try left.send([2], mayWait: false)
    #expect(try packet(right.receive(milliseconds: 0)).bytes == [2])
  }

  @Test func aFullSocketIsWaitedFor() throws {
    let thread = try PThread(name: "sender") { [left] in
      for number in 0..<2000 as Range<UInt32> { try? left.send([UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 1000)) }
    }
    for number in 0..<2000 as Range<UInt32> {
      let packet = try packet(right.receive(milliseconds: 10_000))
      #expect(packet.bytes.count == 1000 && packet.bytes[0] == UInt8(truncatingIfNeeded: number))
    }
    thread.join()
  }
}
