import CLinux
import KVM
import Platform
import Testing

/// Interrupts that a payload's handler takes: from lines of the kernel's PIC, and from messages.
@Suite(.needsKVM) struct InterruptTests {
  /// Sets the PIC up with vectors from 0x20, line 5 level-triggered, says so on port 0x10, and waits.
  private static let linePayload = code(
    [0xb0, 0x11],  // mov al, 0x11: ICW1, cascade, ICW4 follows
    [0xe6, 0x20],  // out 0x20, al
    [0xb0, 0x20],  // mov al, 0x20: ICW2, the first vector
    [0xe6, 0x21],  // out 0x21, al
    [0xb0, 0x04],  // mov al, 4: ICW3, the slave's line
    [0xe6, 0x21],  // out 0x21, al
    [0xb0, 0x01],  // mov al, 1: ICW4, 8086 mode
    [0xe6, 0x21],  // out 0x21, al
    [0xb0, 0x00],  // mov al, 0: no line masked
    [0xe6, 0x21],  // out 0x21, al
    [0xb0, 0x20],  // mov al, 0x20: ELCR, line 5
    [0xba, 0xd0, 0x04],  // mov dx, 0x4d0
    [0xee],  // out dx, al
    [0xfb],  // sti
    [0xe6, 0x10],  // out 0x10, al
    [0xf4],  // 1: hlt
    [0xeb, 0xfd]  // jmp 1b
  )
  private static let lineHandler = code(
    [0xe6, 0x11],  // out 0x11, al
    [0xb0, 0x20],  // mov al, 0x20: end of interrupt
    [0xe6, 0x20],  // out 0x20, al
    [0xe6, 0x12],  // out 0x12, al
    [0xcf]  // iret
  )
  private static let messagePayload = code(
    [0xfb],  // sti
    [0xe6, 0x10],  // out 0x10, al
    [0xf4],  // 1: hlt
    [0xeb, 0xfd]  // jmp 1b
  )
  /// The ES segment lies on the local APIC.
  private static let messageHandler = code(
    [0xe6, 0x11],  // out 0x11, al
    [0x66, 0x31, 0xc0],  // xor eax, eax: end of interrupt
    [0x26, 0x66, 0xa3, 0xb0, 0x00],  // mov es:[0xb0], eax
    [0xe6, 0x12],  // out 0x12, al
    [0xcf]  // iret
  )

  private func port(_ seen: Seen) -> UInt16? {
    if case .out(let port, _, _) = seen { port } else { nil }
  }

  // MARK: Lines

  @Test func anEventRaisesAnEdgeTriggeredLineOnceASignal() throws {
    let (guest, trigger) = (try TestGuest(Self.linePayload, interruptController: true), try EventFD())
    try guest.setHandler(vector: 0x23, Self.lineHandler)
    try guest.machine.attachInterrupt(line: 3, trigger: trigger.number)
    let ends = Log<Bool>()
    let seen = try guest.run { seen in
      if port(seen) == 0x12 { ends.append(true) }
      if ends.all.count == 3 { return .end }
      if port(seen) != 0x11 { trigger.signal() }
      return .proceed
    }
    #expect(seen.map(port) == [0x10, 0x11, 0x12, 0x11, 0x12, 0x11, 0x12])
  }

  @Test func aLevelTriggeredLineFallsAndReportsWhenTheGuestAcknowledges() throws {
    let (guest, trigger, resample) = (try TestGuest(Self.linePayload, interruptController: true), try EventFD(), try EventFD())
    try guest.setHandler(vector: 0x25, Self.lineHandler)
    try guest.machine.attachInterrupt(line: 5, trigger: trigger.number, resample: resample.number)
    let acknowledgements = Log<UInt64>()
    let seen = try guest.run { seen in
      switch port(seen) {
      case 0x10: trigger.signal()
      case 0x11: acknowledgements.append(resample.drain())
      default:
        acknowledgements.append(resample.drain())
        // The device still has a reason, once.
        if acknowledgements.all.count == 4 { return .end }
        trigger.signal()
      }
      return .proceed
    }
    #expect(seen.map(port) == [0x10, 0x11, 0x12, 0x11, 0x12])
    #expect(acknowledgements.all == [0, 1, 0, 1])
  }

  @Test func aLineThatStaysHighInterruptsUntilItIsLowered() throws {
    let guest = try TestGuest(Self.linePayload, interruptController: true)
    try guest.setHandler(vector: 0x25, Self.lineHandler)
    let ends = Log<Bool>()
    let machine = guest.machine
    let seen = try guest.run { seen in
      do {
        if port(seen) == 0x10 { try machine.setInterruptLine(5, high: true) }
        if port(seen) == 0x12 { ends.append(true) }
        if ends.all.count == 3 { try machine.setInterruptLine(5, high: false) }
      } catch { Issue.record(error) }
      return ends.all.count == 3 ? .end : .proceed
    }
    #expect(seen.map(port) == [0x10, 0x11, 0x12, 0x11, 0x12, 0x11, 0x12])
  }

  @Test func aDetachedEventRaisesNothing() throws {
    let (guest, trigger, other) = (try TestGuest(Self.linePayload, interruptController: true), try EventFD(), try EventFD())
    try guest.setHandler(vector: 0x23, code([0xe6, 0x13], [0xcf]))  // out 0x13, al; iret
    try guest.setHandler(vector: 0x24, Self.lineHandler, at: 0x1900)
    try guest.machine.attachInterrupt(line: 3, trigger: trigger.number)
    try guest.machine.attachInterrupt(line: 4, trigger: other.number)
    try guest.machine.detachInterrupt(line: 3, trigger: trigger.number)
    let seen = try guest.run { seen in
      if port(seen) == 0x10 {
        trigger.signal()
        other.signal()
      }
      return port(seen) == 0x12 ? .end : .proceed
    }
    #expect(seen.map(port) == [0x10, 0x11, 0x12])
  }

  // MARK: Messages

  /// A guest whose local APIC is on, and whose ES segment lies on it.
  private func makeMessageGuest(vector: UInt64) throws -> TestGuest {
    let guest = try TestGuest(Self.messagePayload, interruptController: true)
    try guest.setHandler(vector: vector, Self.messageHandler)
    var apic = try guest.processor.localAPIC()
    // The spurious interrupt register at 0xf0: bit 8 enables the controller, vector 0xff.
    (apic.regs.240, apic.regs.241) = (-1, 1)
    try guest.processor.setLocalAPIC(apic)
    var registers = try guest.processor.systemRegisters()
    registers.es.base = 0xfee0_0000
    try guest.processor.setSystemRegisters(registers)
    return guest
  }

  @Test func aMessageInterruptsTheProcessorItNames() throws {
    let guest = try makeMessageGuest(vector: 0x41)
    let delivered = Log<Bool>()
    let machine = guest.machine
    let seen = try guest.run { seen in
      do {
        if port(seen) == 0x10 { delivered.append(try machine.sendMessage(address: 0xfee0_0000, data: 0x41)) }
        if port(seen) == 0x12 { delivered.append(try machine.sendMessage(address: 0xfee0_7000, data: 0x41)) }
      } catch { Issue.record(error) }
      return port(seen) == 0x12 ? .end : .proceed
    }
    #expect(seen.map(port) == [0x10, 0x11, 0x12])
    // The second message names processor 7, which is not there.
    #expect(delivered.all == [true, false])
  }

  @Test func anEventSendsTheMessageItIsRoutedTo() throws {
    let (guest, trigger) = (try makeMessageGuest(vector: 0x51), try EventFD())
    try guest.machine.setRoutes([.message(line: 24, address: 0xfee0_0000, data: 0x51)])
    try guest.machine.attachInterrupt(line: 24, trigger: trigger.number)
    let ends = Log<Bool>()
    let seen = try guest.run { seen in
      if port(seen) == 0x12 { ends.append(true) }
      if ends.all.count == 2 { return .end }
      if port(seen) != 0x11 { trigger.signal() }
      return .proceed
    }
    #expect(seen.map(port) == [0x10, 0x11, 0x12, 0x11, 0x12])
  }

  @Test func aNewRouteMovesAnAttachedEvent() throws {
    let (guest, trigger) = (try makeMessageGuest(vector: 0x52), try EventFD())
    try guest.machine.setRoutes([.message(line: 24, address: 0xfee0_0000, data: 0x51)])
    try guest.machine.attachInterrupt(line: 24, trigger: trigger.number)
    try guest.machine.setRoutes([.message(line: 24, address: 0xfee0_0000, data: 0x52)])
    let seen = try guest.run { seen in
      if port(seen) == 0x10 { trigger.signal() }
      return port(seen) == 0x12 ? .end : .proceed
    }
    #expect(seen.map(port) == [0x10, 0x11, 0x12])
  }

  @Test func aLineOfTheControllersIsRoutedWithMessagesInOneTable() throws {
    let (guest, trigger) = (try TestGuest(Self.linePayload, interruptController: true), try EventFD())
    try guest.setHandler(vector: 0x23, Self.lineHandler)
    try guest.machine.setRoutes([.chip(line: 30, chip: 0, pin: 3), .message(line: 24, address: 0xfee0_0000, data: 0x51)])
    try guest.machine.attachInterrupt(line: 30, trigger: trigger.number)
    let seen = try guest.run { seen in
      if port(seen) == 0x10 { trigger.signal() }
      return port(seen) == 0x12 ? .end : .proceed
    }
    #expect(seen.map(port) == [0x10, 0x11, 0x12])
  }
}
