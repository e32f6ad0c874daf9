import Interrupts
import Platform
import Synchronization
import Testing
import Virtio

/// Interrupts by vector and by line (virtio 1.2, sections 4.1.4.5 and 4.1.5).
@Suite struct VirtioPCIInterruptTests {
  typealias Common = TestGuest.Common

  private func started(vectors: Bool) throws -> (TestGuest, any VirtioInterrupt) {
    let guest = try TestGuest()
    if vectors { guest.enableVectors() }
    guest.start()
    guest.store(Common.configurationVector, 2, 0)
    return (guest, try #require(guest.device.activation?.interrupt))
  }

  @Test func eachQueueHasItsVector() throws {
    let (guest, interrupt) = try started(vectors: true)
    interrupt.signalUsed(queue: 1)
    #expect(guest.messages.sent(0x42) == 1)
    #expect(guest.messages.sent(0x41) == 0)
    interrupt.signalConfigurationChange()
    #expect(guest.messages.sent(0x40) == 1)
    #expect(guest.line.trigger.drain() == 0)
    // The status byte counts for queues only without vectors; for the configuration always.
    #expect(guest.load(0x1000, 1) == 2)
  }

  @Test func aQueueWithoutVectorIsSilent() throws {
    let (guest, interrupt) = try started(vectors: true)
    guest.store(Common.queueSelect, 2, 0)
    guest.store(Common.queueVector, 2, 0xffff)
    interrupt.signalUsed(queue: 0)
    interrupt.signalUsed(queue: 2)
    interrupt.signalUsed(queue: 0xffff)
    #expect((0x40...0x42).allSatisfy { guest.messages.sent($0) == 0 })
    #expect(guest.load(0x7000, 8) == 0)
  }

  @Test func aMaskedVectorIsPendingAndSentLater() throws {
    let (guest, interrupt) = try started(vectors: true)
    guest.store(0x601c, 4, 1)
    interrupt.signalUsed(queue: 0)
    #expect(guest.load(0x7000, 8) == 0b10)
    guest.store(0x601c, 4, 0)
    #expect(guest.messages.sent(0x41) == 1)
    #expect(guest.load(0x7000, 8) == 0)
  }

  /// Whoever serves a queue in the device's place, and what it was told.
  private final class Borrower: Sendable {
    let told = Mutex<[EventFD?]>([])
    var isOpen: [Bool] { told.withLock { $0.map { $0 != nil } } }
    var handler: @Sendable (EventFD?) -> Void { { event in self.told.withLock { $0.append(event) } } }
  }

  @Test func anEventIsLentWhileItsVectorIsOpen() throws {
    let (guest, interrupt) = try started(vectors: true)
    let borrower = Borrower()
    interrupt.lend(queue: 0, to: borrower.handler)
    #expect(borrower.isOpen == [false, true])
    borrower.told.withLock { $0 }.last??.signal()
    #expect(guest.messages.sent(0x41) == 1)
    // Masked and open again; what came meanwhile is pending as ever.
    guest.store(0x601c, 4, 1)
    interrupt.signalUsed(queue: 0)
    guest.store(0x601c, 4, 0)
    #expect(borrower.isOpen == [false, true, false, true])
    #expect(guest.messages.sent(0x41) == 1)
    // The queue gets another vector, and then none.
    guest.store(Common.queueSelect, 2, 0)
    guest.store(Common.queueVector, 2, 2)
    borrower.told.withLock { $0 }.last??.signal()
    #expect(guest.messages.sent(0x42) == 1)
    guest.store(Common.queueVector, 2, 0xffff)
    #expect(borrower.isOpen == [false, true, false, true, false, true, false])
    // Who has given the queue back hears nothing.
    interrupt.lend(queue: 0, to: nil)
    guest.store(Common.queueVector, 2, 1)
    #expect(borrower.isOpen.count == 7)
  }

  @Test func withoutVectorsNoEventIsLent() throws {
    let (guest, interrupt) = try started(vectors: false)
    let borrower = Borrower()
    interrupt.lend(queue: 0, to: borrower.handler)
    interrupt.lend(queue: 0xffff, to: borrower.handler)
    #expect(borrower.isOpen.count >= 2 && borrower.isOpen.allSatisfy { !$0 })
    guest.enableVectors()
    #expect(borrower.isOpen.last == true)
  }

  @Test func aResetForgetsWhatIsPending() throws {
    let (guest, interrupt) = try started(vectors: true)
    guest.store(0x601c, 4, 1)
    interrupt.signalUsed(queue: 0)
    guest.setStatus(0)
    guest.store(0x601c, 4, 0)
    #expect(guest.messages.sent(0x41) == 0)
  }

  @Test func withoutVectorsTheLineIsRaised() throws {
    let (guest, interrupt) = try started(vectors: false)
    #expect(guest.configuration(6, 2) & 8 == 0)
    interrupt.signalUsed(queue: 0)
    #expect(guest.line.trigger.drain() == 1)
    #expect(guest.configuration(6, 2) & 8 != 0)
    interrupt.signalConfigurationChange()
    #expect(guest.load(0x1000, 1) == 3)
    #expect(guest.load(0x1000, 1) == 0)
    #expect(guest.configuration(6, 2) & 8 == 0)
  }

  @Test func aLineThatIsDisabledIsRaisedWhenEnabledAgain() throws {
    let (guest, interrupt) = try started(vectors: false)
    guest.configure(4, 2, 0x406)
    interrupt.signalUsed(queue: 0)
    #expect(guest.line.trigger.drain() == 0)
    #expect(guest.configuration(6, 2) & 8 != 0)
    guest.configure(4, 2, 6)
    #expect(guest.line.trigger.drain() == 1)
  }

  @Test func turningVectorsOffBringsTheLineBack() throws {
    let (guest, interrupt) = try started(vectors: true)
    interrupt.signalConfigurationChange()
    guest.configure(try #require(guest.capabilities[0x11]) + 2, 2, 0)
    #expect(guest.line.trigger.drain() == 1)
  }

  @Test func anAcknowledgedLineRisesAgainWhileThereIsAReason() throws {
    let (guest, interrupt) = try started(vectors: false)
    let thread = try PThread(name: "loop") { try? guest.loop.run() }
    interrupt.signalUsed(queue: 0)
    #expect(guest.line.trigger.drain() == 1)
    guest.line.resample.signal()
    #expect(waitFor { guest.line.trigger.drain() == 1 })
    _ = guest.load(0x1000, 1)
    // The loop serves what is ready in the order in which it became so: once the second event was served, so was the first.
    let after = try EventFD()
    let flag = Flag()
    try guest.loop.add(after.number) { _ in
      after.drain()
      flag.isSet.store(true, ordering: .releasing)
    }
    guest.line.resample.signal()
    after.signal()
    #expect(waitFor { flag.isSet.load(ordering: .acquiring) })
    guest.loop.stop()
    thread.join()
    #expect(guest.line.trigger.drain() == 0)
  }

  private final class Flag: Sendable {
    let isSet = Atomic<Bool>(false)
  }

  /// Polls, for a second at most.
  private func waitFor(_ condition: () -> Bool) -> Bool {
    let end = ContinuousClock.now + .seconds(1)
    while ContinuousClock.now < end { if condition() { return true } }
    return false
  }

  @Test func aDeviceInTroubleTellsTheDriverOnce() throws {
    let (guest, interrupt) = try started(vectors: true)
    interrupt.deviceNeedsReset("test")
    interrupt.deviceNeedsReset("test")
    #expect(guest.status == 15 | 0x40)
    #expect(guest.messages.sent(0x40) == 1)
    // Nobody is told before DRIVER_OK.
    guest.setStatus(0)
    interrupt.deviceNeedsReset("late")
    #expect(guest.status == 0x40)
    #expect(guest.messages.sent(0x40) == 0)
    #expect(guest.load(0x1000, 1) == 0)
    guest.start()
    #expect(guest.status == 15)
  }
}
