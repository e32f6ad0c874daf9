import CLinux
import KVM
import Platform
import Testing

@Suite(.needsKVM) struct DirtyLogTests {
  /// Stores to page 2 and to the last byte of page 5 and the first of page 6; loads from page 3.
  private static let payload = code(
    [0xa2, 0x00, 0x20],  // mov [0x2000], al
    [0xa0, 0x00, 0x30],  // mov al, [0x3000]
    [0xa3, 0xff, 0x5f],  // mov [0x5fff], ax
    [0xe6, 0xf4]  // out 0xf4, al
  )

  @Test func theLogNamesThePagesThatTheGuestWroteOnce() throws {
    let guest = try TestGuest(Self.payload, slotFlags: KVM_MEM_LOG_DIRTY_PAGES)
    // What the VMM itself writes is not the guest's doing.
    try guest.memory.store(1 as UInt8, at: 0x7000)
    #expect(try guest.machine.takeDirtyLog(slot: 0) == [0])
    try guest.run()
    #expect(try guest.machine.takeDirtyLog(slot: 0) == [1 << 2 | 1 << 5 | 1 << 6])
    #expect(try guest.machine.takeDirtyLog(slot: 0) == [0])
  }

  @Test func theLogHasABitForEveryPageOfTheSlot() throws {
    let guest = try TestGuest(Self.payload)
    let memory = try makeMemory(65 * 4096)
    let host = memory.hostAddress
    try guest.machine.setMemory(
      slot: 7, guestAddress: 1 << 32, size: 65 * 4096, hostAddress: host, flags: UInt32(KVM_MEM_LOG_DIRTY_PAGES))
    #expect(try guest.machine.takeDirtyLog(slot: 7) == [0, 0])
    try guest.machine.setMemory(slot: 7, guestAddress: 0, size: 0, hostAddress: 0)
    #expect(throws: KVMError.request(SystemError("KVM_GET_DIRTY_LOG", code: ENOENT))) { _ = try guest.machine.takeDirtyLog(slot: 7) }
  }

  @Test(arguments: [0, 1, 0x10000, UInt32.max]) func aSlotWithoutALogIsRefused(slot: UInt32) throws {
    let guest = try TestGuest(Self.payload)
    let error = #expect(throws: KVMError.self) { _ = try guest.machine.takeDirtyLog(slot: slot) }
    #expect(error == .request(SystemError("KVM_GET_DIRTY_LOG", code: ENOENT)))
  }
}
