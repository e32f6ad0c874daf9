import KVM
import Platform
import Testing

/// Writes that signal an event in the kernel and never reach the VMM (ioeventfd).
@Suite(.needsKVM) struct DoorbellTests {
  private static let portPayload = code(
    [0xb0, 0x07],  // mov al, 7
    [0xe6, 0x20],  // out 0x20, al
    [0xe7, 0x20],  // out 0x20, ax
    [0xb0, 0x08],  // mov al, 8
    [0xe6, 0x20],  // out 0x20, al
    [0xe6, 0xf4]  // out 0xf4, al
  )
  private static let memoryPayload = code(
    [0xb8, 0x07, 0x00, 0x00, 0x00],  // mov eax, 7
    [0x88, 0x04, 0x25, 0x00, 0x80, 0x00, 0x00],  // mov byte ptr [0x8000], al
    [0x66, 0x89, 0x04, 0x25, 0x00, 0x80, 0x00, 0x00],  // mov word ptr [0x8000], ax
    [0x89, 0x04, 0x25, 0x00, 0x80, 0x00, 0x00],  // mov dword ptr [0x8000], eax
    [0x48, 0x89, 0x04, 0x25, 0x00, 0x80, 0x00, 0x00],  // mov qword ptr [0x8000], rax
    [0xb8, 0x08, 0x00, 0x00, 0x00],  // mov eax, 8
    [0x89, 0x04, 0x25, 0x00, 0x80, 0x00, 0x00],  // mov dword ptr [0x8000], eax
    [0x89, 0x04, 0x25, 0x04, 0x80, 0x00, 0x00],  // mov dword ptr [0x8004], eax
    [0xe6, 0xf4]  // out 0xf4, al
  )
  private typealias Doorbell = VirtualMachine.Doorbell

  /// Runs the payload with the doorbell; returns the number of signals, and what came to the VMM all the same.
  private func ring(_ doorbell: Doorbell) throws -> (signals: UInt64, seen: [Seen]) {
    let guest = try TestGuest(doorbell.isPort ? Self.portPayload : Self.memoryPayload, mode: doorbell.isPort ? .real : .long)
    let event = try EventFD()
    try guest.machine.attachDoorbell(doorbell, event: event.number)
    let seen = try guest.run()
    return (event.drain(), seen)
  }

  @Test func aPortOfAnyWidthAndValue() throws {
    let (signals, seen) = try ring(Doorbell(address: 0x20, isPort: true))
    #expect(signals == 3)
    #expect(seen.isEmpty)
  }

  @Test func aPortOfOneWidth() throws {
    let (signals, seen) = try ring(Doorbell(address: 0x20, isPort: true, width: 1))
    #expect(signals == 2)
    #expect(seen == [.out(port: 0x20, width: 2, [7])])
  }

  @Test func aPortOfOneWidthAndValue() throws {
    let (signals, seen) = try ring(Doorbell(address: 0x20, isPort: true, width: 1, value: 8))
    #expect(signals == 1)
    #expect(seen == [.out(port: 0x20, width: 1, [7]), .out(port: 0x20, width: 2, [7])])
  }

  @Test func anAddressOfAnyWidthAndValue() throws {
    let (signals, seen) = try ring(Doorbell(address: 0x8000))
    #expect(signals == 5)
    #expect(seen == [.store(address: 0x8004, width: 4, 8)])
  }

  @Test func anAddressOfOneWidth() throws {
    let (signals, seen) = try ring(Doorbell(address: 0x8000, width: 2))
    #expect(signals == 1)
    #expect(seen.count == 5)
    #expect(!seen.contains(.store(address: 0x8000, width: 2, 7)))
  }

  @Test func anAddressOfOneWidthAndValue() throws {
    let (signals, seen) = try ring(Doorbell(address: 0x8000, width: 4, value: 8))
    #expect(signals == 1)
    #expect(seen.contains(.store(address: 0x8000, width: 4, 7)))
    #expect(!seen.contains(.store(address: 0x8000, width: 4, 8)))
  }

  @Test func aDetachedDoorbellIsAnOrdinaryAddressAgain() throws {
    let (guest, event) = (try TestGuest(Self.portPayload), try EventFD())
    let doorbell = Doorbell(address: 0x20, isPort: true)
    try guest.machine.attachDoorbell(doorbell, event: event.number)
    #expect(throws: KVMError.self) { try guest.machine.attachDoorbell(doorbell, event: event.number) }
    try guest.machine.detachDoorbell(doorbell, event: event.number)
    #expect(throws: KVMError.self) { try guest.machine.detachDoorbell(doorbell, event: event.number) }
    #expect(try guest.run().count == 3)
    #expect(event.drain() == 0)
  }
}
