import CLinux
import KVM
import Testing

/// Loads from and stores to addresses without memory, of every width; eight bytes take 64-bit code.
@Suite(.needsKVM) struct MemoryExitTests {
  @Test func storesArriveWithTheirWidthAndValue() throws {
    let guest = try TestGuest(
      code(
        [0x48, 0xb8, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88],  // mov rax, 0x8877665544332211
        [0x88, 0x04, 0x25, 0x00, 0x80, 0x00, 0x00],  // mov byte ptr [0x8000], al
        [0x66, 0x89, 0x04, 0x25, 0x02, 0x80, 0x00, 0x00],  // mov word ptr [0x8002], ax
        [0x89, 0x04, 0x25, 0x04, 0x80, 0x00, 0x00],  // mov dword ptr [0x8004], eax
        [0x48, 0x89, 0x04, 0x25, 0x08, 0x80, 0x00, 0x00],  // mov qword ptr [0x8008], rax
        [0xe6, 0xf4]  // out 0xf4, al
      ), mode: .long)
    #expect(
      try guest.run() == [
        .store(address: 0x8000, width: 1, 0x11), .store(address: 0x8002, width: 2, 0x2211),
        .store(address: 0x8004, width: 4, 0x4433_2211), .store(address: 0x8008, width: 8, 0x8877_6655_4433_2211),
      ])
  }

  @Test func loadsGetTheAnswerCutToTheirWidth() throws {
    let guest = try TestGuest(
      code(
        [0x8a, 0x04, 0x25, 0x00, 0x80, 0x00, 0x00],  // mov al, byte ptr [0x8000]
        [0x88, 0x04, 0x25, 0x00, 0x30, 0x00, 0x00],  // mov byte ptr [0x3000], al
        [0x66, 0x8b, 0x04, 0x25, 0x02, 0x80, 0x00, 0x00],  // mov ax, word ptr [0x8002]
        [0x66, 0x89, 0x04, 0x25, 0x10, 0x30, 0x00, 0x00],  // mov word ptr [0x3010], ax
        [0x8b, 0x04, 0x25, 0x04, 0x80, 0x00, 0x00],  // mov eax, dword ptr [0x8004]
        [0x89, 0x04, 0x25, 0x20, 0x30, 0x00, 0x00],  // mov dword ptr [0x3020], eax
        [0x48, 0x8b, 0x04, 0x25, 0x08, 0x80, 0x00, 0x00],  // mov rax, qword ptr [0x8008]
        [0x48, 0x89, 0x04, 0x25, 0x30, 0x30, 0x00, 0x00],  // mov qword ptr [0x3030], rax
        [0xe6, 0xf4]  // out 0xf4, al
      ), mode: .long)
    let seen = try guest.run { _ in .answer(0x8877_6655_4433_2211) }
    #expect(
      seen == [
        .load(address: 0x8000, width: 1), .load(address: 0x8002, width: 2), .load(address: 0x8004, width: 4),
        .load(address: 0x8008, width: 8),
      ])
    #expect(try guest.memory.load(0x3000, as: UInt64.self) == 0x11)
    #expect(try guest.memory.load(0x3010, as: UInt64.self) == 0x2211)
    #expect(try guest.memory.load(0x3020, as: UInt64.self) == 0x4433_2211)
    #expect(try guest.memory.load(0x3030, as: UInt64.self) == 0x8877_6655_4433_2211)
  }

  /// Two bytes are in memory, two beyond its end: the kernel divides the access, and so it does at a page boundary.
  @Test func aStoreAcrossABoundaryArrivesInParts() throws {
    let guest = try TestGuest(
      code(
        [0xb8, 0x11, 0x22, 0x33, 0x44],  // mov eax, 0x44332211
        [0x89, 0x04, 0x25, 0xfe, 0x7f, 0x00, 0x00],  // mov dword ptr [0x7ffe], eax
        [0x89, 0x04, 0x25, 0xfe, 0x8f, 0x00, 0x00],  // mov dword ptr [0x8ffe], eax
        [0xe6, 0xf4]  // out 0xf4, al
      ), mode: .long)
    #expect(
      try guest.run() == [
        .store(address: 0x8000, width: 2, 0x4433), .store(address: 0x8ffe, width: 2, 0x2211), .store(address: 0x9000, width: 2, 0x4433),
      ])
    #expect(try guest.memory.load(0x7ffe, as: UInt16.self) == 0x2211)
  }

  @Test func aReadOnlySlotIsReadAsMemoryAndStoresToItArrive() throws {
    let guest = try TestGuest(
      code(
        [0xa0, 0x00, 0x80],  // mov al, [0x8000]
        [0xe6, 0x10],  // out 0x10, al
        [0xc6, 0x06, 0x00, 0x80, 0x09],  // mov byte ptr [0x8000], 9
        [0xa0, 0x00, 0x80],  // mov al, [0x8000]
        [0xe6, 0x10],  // out 0x10, al
        [0xe6, 0xf4]  // out 0xf4, al
      ))
    let flash = try makeMemory(0x1000)
    try flash.store(5 as UInt8, at: 0)
    try guest.machine.setMemory(
      slot: 1, guestAddress: 0x8000, size: 0x1000, hostAddress: flash.hostAddress, flags: UInt32(KVM_MEM_READONLY))
    #expect(
      try guest.run() == [
        .out(port: 0x10, width: 1, [5]), .store(address: 0x8000, width: 1, 9), .out(port: 0x10, width: 1, [5]),
      ])
    #expect(try flash.load(0, as: UInt8.self) == 5)
  }
}
