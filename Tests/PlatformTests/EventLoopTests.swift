import Glibc
import Platform
import Synchronization
import Testing

@Suite struct EventLoopTests {
  /// Counts calls of handlers.
  private final class Calls: Sendable {
    private let names = Mutex<[String]>([])
    func note(_ name: String) { names.withLock { $0.append(name) } }
    var all: [String] { names.withLock { $0 } }
    var sorted: [String] { all.sorted() }
  }

  /// Makes the loop stop after all events that it has fetched already.
  private func stopLater(_ loop: EventLoop, _ finish: EventFD) throws {
    try loop.add(finish.number) { [weak loop] _ in loop?.stop() }
  }

  @Test func handlersOfReadyDescriptorsRunAndOthersDoNot() throws {
    let (loop, finish, calls) = (try EventLoop(), try EventFD(), Calls())
    let (ready, idle) = (try EventFD(), try EventFD())
    try stopLater(loop, finish)
    try loop.add(ready.number) { interest in
      calls.note(interest.contains(.readable) ? "ready" : "other")
      ready.drain()
      finish.signal()
    }
    try loop.add(idle.number) { _ in calls.note("idle") }
    ready.signal()
    try loop.run()
    #expect(calls.all == ["ready"])
  }

  @Test func aLoopStoppedBeforeItRunsReturnsAtOnceAndCallsNobody() throws {
    let (loop, event, calls) = (try EventLoop(), try EventFD(), Calls())
    try loop.add(event.number) { _ in calls.note("event") }
    event.signal()
    loop.stop()
    try loop.run()
    try loop.run()
    #expect(calls.all.isEmpty)
  }

  @Test func otherThreadsMayAddAndStopWhileTheLoopWaits() throws {
    let (loop, event, calls) = (try EventLoop(), try EventFD(), Calls())
    let thread = try PThread(name: "loop") { try? loop.run() }
    usleep(5_000)
    event.signal()
    try loop.add(event.number) { _ in
      calls.note("event")
      event.drain()
    }
    while calls.all.isEmpty { usleep(1_000) }
    loop.stop()
    thread.join()
    #expect(calls.all == ["event"])
  }

  @Test func aHandlerRemovedByAnotherIsNotCalledAlthoughItsEventWasFetched() throws {
    let (loop, finish, calls) = (try EventLoop(), try EventFD(), Calls())
    let events = [try EventFD(), try EventFD()]
    try stopLater(loop, finish)
    for (index, event) in events.enumerated() {
      event.signal()
      try loop.add(event.number) { _ in
        calls.note("event")
        loop.remove(events[1 - index].number)
        event.drain()
        finish.signal()
      }
    }
    try loop.run()
    #expect(calls.all == ["event"])
  }

  @Test func anEventOfAClosedDescriptorDoesNotReachTheNextOwnerOfItsNumber() throws {
    let (loop, finish, calls, quiet) = (try EventLoop(), try EventFD(), Calls(), try EventFD())
    let events = [try EventFD(), try EventFD()]
    try stopLater(loop, finish)
    for (index, event) in events.enumerated() {
      event.signal()
      try loop.add(event.number) { _ in
        calls.note("event")
        event.drain()
        let other = events[1 - index].number
        loop.remove(other)
        // Closes the other event and reuses its number for one that nobody signalled.
        dup2(quiet.number, other)
        do { try loop.add(other) { _ in calls.note("stale") } } catch { calls.note("\(error)") }
        finish.signal()
      }
    }
    try loop.run()
    #expect(calls.all == ["event"])
  }

  @Test func aDescriptorAddedTwiceKeepsItsFirstHandler() throws {
    let (loop, finish, calls, event) = (try EventLoop(), try EventFD(), Calls(), try EventFD())
    try stopLater(loop, finish)
    try loop.add(event.number) { _ in
      calls.note("first")
      event.drain()
      finish.signal()
    }
    let error = #expect(throws: SystemError.self) { try loop.add(event.number) { _ in calls.note("second") } }
    #expect(error?.code == EEXIST)
    event.signal()
    try loop.run()
    #expect(calls.all == ["first"])
  }

  @Test func interestCanBeTakenBackAndGivenAgain() throws {
    let (loop, finish, calls, event) = (try EventLoop(), try EventFD(), Calls(), try EventFD())
    try loop.add(event.number) { _ in
      calls.note("event")
      loop.stop()
    }
    try loop.modify(event.number, [])
    event.signal()
    try loop.add(finish.number) { _ in
      calls.note("finish")
      finish.drain()
      do { try loop.modify(event.number, .readable) } catch { calls.note("\(error)") }
    }
    finish.signal()
    try loop.run()
    #expect(calls.all == ["finish", "event"])
  }

  @Test func whatIsNotWatchedCannotBeModifiedAndMayBeRemoved() throws {
    let (loop, event) = (try EventLoop(), try EventFD())
    let error = #expect(throws: SystemError.self) { try loop.modify(event.number, .writable) }
    #expect(error?.code == ENOENT)
    loop.remove(event.number)
    loop.remove(-1)
  }

  @Test func whatCannotBeWaitedForIsRefused() throws {
    let loop = try EventLoop()
    let file = try OwnedDescriptor.open("/proc/self/exe", flags: O_RDONLY)
    let number = file.number
    #expect(throws: SystemError("wait for descriptor \(number)", code: EPERM)) { try loop.add(number) { _ in } }
    #expect(throws: SystemError("wait for descriptor -1", code: EBADF)) { try loop.add(-1) { _ in } }
    _ = consume file
  }

  @Test func aPeerThatGoesIsReported() throws {
    let (loop, calls) = (try EventLoop(), Calls())
    let pipe = try TestPipe()
    let reader = try pipe.readEnd.duplicate()
    let number = reader.number
    try loop.add(number, []) { interest in
      calls.note(interest.isDisjoint(with: .hungUp) ? "other" : "hung up")
      loop.stop()
    }
    _ = consume pipe
    try loop.run()
    #expect(calls.all == ["hung up"])
    _ = consume reader
  }

  @Test func manyMoreEventsThanFitInOneCallAllArrive() throws {
    let (loop, calls) = (try EventLoop(), Calls())
    let events = try (0..<100).map { _ in try EventFD() }
    let remaining = Atomic(events.count)
    for (index, event) in events.enumerated() {
      event.signal()
      try loop.add(event.number) { _ in
        calls.note("\(1000 + index)")
        event.drain()
        if remaining.subtract(1, ordering: .relaxed).newValue == 0 { loop.stop() }
      }
    }
    try loop.run()
    #expect(calls.sorted == (0..<100).map { "\(1000 + $0)" })
  }
}
