import CLinux
import Glibc
import KVM
import Platform
import Testing

@Suite(.needsKVM) struct ProcessorTests {
  // MARK: Leaving the guest

  private static let spin = code([0xeb, 0xfe])  // 1: jmp 1b
  private static let halt = code([0xfb], [0xf4], [0xeb, 0xfd])  // sti; 1: hlt; jmp 1b

  @Test func aRequestBeforeEnteringReturnsAtOnceUntilItIsTakenBack() throws {
    let guest = try TestGuest(code([0xe6, 0x10], [0xe6, 0xf4]))  // out 0x10, al; out 0xf4, al
    guest.processor.requestExit()
    #expect(try guest.processor.enter() == .interrupted)
    #expect(try guest.processor.enter() == .interrupted)
    guest.processor.requestExit(false)
    #expect(try guest.run() == [.out(port: 0x10, width: 1, [0])])
  }

  @Test(arguments: [(spin, false), (halt, true)])
  func aRequestAndASignalEndARunningGuest(payload: [UInt8], interruptController: Bool) throws {
    let guest = try TestGuest(payload, interruptController: interruptController)
    let (exits, entering) = (Log<VirtualCPUExit>(), try EventFD())
    let thread = try PThread(name: "payload") { [processor = guest.processor] in
      PThread.unblock(TestGuest.kick)
      entering.signal()
      if let exit = try? processor.enter() { exits.append(exit) }
    }
    while entering.drain() == 0 { usleep(1_000) }
    usleep(20_000)
    #expect(exits.all.isEmpty)
    guest.processor.requestExit()
    thread.signal(TestGuest.kick)
    thread.join()
    #expect(exits.all == [.interrupted])
  }

  @Test func aMachineThatWasGivenBackRefusesRequestsAndItsProcessorRunsOn() throws {
    let guest = try TestGuest(code([0xe6, 0x10], [0xe6, 0xf4]))
    guest.machine.end()
    guest.machine.end()
    let refusal = #expect(throws: KVMError.self) { try guest.machine.makeProcessor(identifier: 1) }
    #expect("\(try #require(refusal))".contains("Bad file descriptor"))
    #expect(try guest.run() == [.out(port: 0x10, width: 1, [0])])
  }

  @Test func haltWithoutAnInterruptControllerLeavesTheGuest() throws {
    let guest = try TestGuest(Self.halt)
    #expect(try guest.run { _ in .end } == [.other(.halted)])
  }

  // MARK: State

  @Test func registersAreReadAndSet() throws {
    let guest = try TestGuest(Self.spin)
    var registers = try guest.processor.registers()
    #expect(registers.rip == 0x1000)
    registers.r15 = 0x1234_5678_9abc_def0
    try guest.processor.setRegisters(registers)
    #expect(try guest.processor.registers().r15 == 0x1234_5678_9abc_def0)
    var system = try guest.processor.systemRegisters()
    system.ds.base = 0x1230
    try guest.processor.setSystemRegisters(system)
    #expect(try guest.processor.systemRegisters().ds.base == 0x1230)
  }

  @Test func modelRegistersAreSetUpToTheFirstThatIsRefused() throws {
    let guest = try TestGuest(Self.spin)
    // IA32_SYSENTER_CS, IA32_SYSENTER_ESP, and one that no processor has.
    let accepted = try guest.processor.setModelRegisters([(0x174, 8), (0x175, 0x7000), (0xdead_beef, 1), (0x176, 1)])
    #expect(accepted == 2)
    #expect(try guest.processor.modelRegister(0x174) == 8)
    #expect(try guest.processor.modelRegister(0x175) == 0x7000)
    #expect(try guest.processor.modelRegister(0xdead_beef) == nil)
  }

  @Test func theGuestSeesTheIdentificationItWasGiven() throws {
    let guest = try TestGuest(
      code(
        [0x66, 0xb8, 0x00, 0x00, 0x00, 0x40],  // mov eax, 0x40000000
        [0x66, 0x31, 0xc9],  // xor ecx, ecx
        [0x0f, 0xa2],  // cpuid
        [0x66, 0xe7, 0x10],  // out 0x10, eax
        [0x66, 0x89, 0xd8],  // mov eax, ebx
        [0x66, 0xe7, 0x10],  // out 0x10, eax
        [0xe6, 0xf4]  // out 0xf4, al
      ))
    var entries = try KVMSystem().supportedCPUID().filter { $0.function != 0x4000_0000 }
    var leaf = kvm_cpuid_entry2()
    (leaf.function, leaf.eax, leaf.ebx) = (0x4000_0000, 0x1111_2222, 0x3333_4444)
    entries.append(leaf)
    try guest.processor.setCPUID(entries)
    #expect(try guest.run() == [.out(port: 0x10, width: 4, [0x1111_2222]), .out(port: 0x10, width: 4, [0x3333_4444])])
  }
}

@Suite struct SystemTests {
  @Test func aDeviceFileThatIsMissingIsExplained() {
    let error = #expect(throws: KVMError.self) { _ = try KVMSystem(path: "/nonexistent/kvm") }
    #expect(error == .unavailable(path: "/nonexistent/kvm", SystemError("open /nonexistent/kvm", code: ENOENT)))
    #expect(error?.description.contains("modprobe") == true)
  }

  @Test func aFileThatIsNotTheInterfaceIsRefused() {
    let error = #expect(throws: KVMError.self) { _ = try KVMSystem(path: "/dev/null") }
    #expect(error == .request(SystemError("KVM_GET_API_VERSION", code: ENOTTY)))
  }

  @Test(.needsKVM) func capabilitiesAndIdentificationAreThere() throws {
    let system = try KVMSystem()
    #expect(system.capability(KVM_CAP_IRQFD) > 0)
    #expect(system.capability(Int32.max) == 0)
    #expect(system.processorLimit >= 1)
    #expect(try system.supportedCPUID().contains { $0.function == 0 })
  }

  @Test(.needsKVM) func memoryThatOverlapsIsRefused() throws {
    let guest = try TestGuest([])
    let memory = try makeMemory(0x1000)
    let host = memory.hostAddress
    #expect(throws: KVMError.self) { try guest.machine.setMemory(slot: 1, guestAddress: 0x7000, size: 0x1000, hostAddress: host) }
    #expect(throws: KVMError.self) { try guest.machine.setMemory(slot: 1, guestAddress: 0x8001, size: 0x1000, hostAddress: host) }
    #expect(throws: KVMError.self) { try guest.machine.setMemory(slot: .max, guestAddress: 0x8000, size: 0x1000, hostAddress: host) }
  }

  @Test(.needsKVM) func aProcessorNumberIsTakenOnce() throws {
    let guest = try TestGuest([])
    #expect(throws: KVMError.self) { _ = try guest.machine.makeProcessor(identifier: 0) }
    #expect(throws: KVMError.self) { _ = try guest.machine.makeProcessor(identifier: 1 << 30) }
  }
}
