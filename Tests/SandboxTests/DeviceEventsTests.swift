import Glibc
import Interrupts
import Logging
import Platform
import SandboxTesting
import Synchronization
import Testing
import VirtioTesting

@testable import Sandbox

@Suite struct DeviceEventsTests {
  private let peer: PacketSocket
  private let events: DeviceEvents
  private let lines = LogLines()
  private let line: LevelInterrupt
  private let attachments = Counter()

  final class Counter: Sendable {
    let value = Atomic(0)
  }

  init() throws {
    let (ours, theirs) = try PacketSocket.pair()
    peer = theirs
    line = try LevelInterrupt()
    line.onFirstSignal { [attachments] in attachments.value.add(1, ordering: .relaxed) }
    events = DeviceEvents(name: "block0", kind: "block", connection: ours, line: line, logger: lines.logger)
  }

  private func send(_ events: DeviceEvent...) throws { for event in events { try peer.send(event.encoded) } }

  @Test func linesAreWritten() throws {
    try send(.line(.info, "one"), .text("Fatal error"), .line(.critical, "two"))
    #expect(events.lastWords() == nil)
    #expect(lines.all == ["info block0: one", "error block0: Fatal error", "critical block0: two"])
  }

  @Test func aViolationIsTheReasonOfAnEnd() throws {
    try send(.violation(Violation(call: Int(Int32.max), arguments: [1, 2, 3, 4, 5, .max])))
    let words = try #require(events.lastWords())
    #expect(words.contains("block.policy") && words.contains("0xffffffffffffffff"))
    // Also when it is asked again.
    #expect(events.lastWords() == words)
  }

  @Test func theLineIsAttachedOnce() throws {
    try send(.attachLine, .attachLine, .attachLine)
    _ = events.lastWords()
    #expect(attachments.value.load(ordering: .relaxed) == 1)
  }

  @Test func nonsenseIsPassedOver() throws {
    for packet in [[0], [0, 99], [1, 1], [2, 0], [0, 2, 255, 255, 255, 255]] as [[UInt8]] { try peer.send(packet) }
    try send(.line(.info, "one"))
    #expect(events.lastWords() == nil)
    #expect(lines.all == ["info block0: one"])
  }

  @Test func moreLinesThanAPeriodMayHaveAreLeftOut() throws {
    for number in 0..<150 { try send(.line(.info, "\(number)")) }
    _ = events.lastWords()
    #expect(lines.all.count == 100)
  }

  @Test func longTextIsCut() throws {
    try peer.send([UInt8](repeating: 0x61, count: PacketSocket.largestPacket))
    _ = events.lastWords()
    #expect(lines.all.count == 1 && lines.all[0].utf8.count < DeviceEvent.longestLine + 20)
  }

  @Test func descriptorsThatNobodyAskedForAreClosed() throws {
    let before = openDescriptors()
    for _ in 0..<20 {
      try peer.send(DeviceEvent.attachLine.encoded, descriptors: [Int32](repeating: peer.number, count: PacketSocket.mostDescriptors))
      _ = events.lastWords()
    }
    // Other tests open some meanwhile.
    #expect(openDescriptors() < before + 200)
  }

  @Test func eventsAreTakenByALoop() throws {
    let loop = try EventLoop()
    try events.watch(loop)
    try loop.add(line.trigger.number) { [loop] _ in loop.stop() }
    try send(.line(.info, "one"), .attachLine)
    // Its end is not the end of the loop, and keeps it no busier.
    #expect(shutdownBoth(peer))
    let thread = try PThread(name: "loop") { [loop] in try? loop.run() }
    for _ in 0..<1000 where attachments.value.load(ordering: .relaxed) == 0 { usleep(1000) }
    line.trigger.signal()
    thread.join()
    #expect(lines.all == ["info block0: one"])
    events.stopWatching(loop)
    loop.remove(line.trigger.number)
  }
}
