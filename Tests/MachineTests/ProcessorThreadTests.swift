import Bus
import CLinux
import Glibc
import GuestMemory
import KVM
import Logging
import Synchronization
import Testing

@testable import Machine

@Suite(.enabled(if: unsafe access("/dev/kvm", R_OK | W_OK) == 0, "needs a usable /dev/kvm"))
struct ProcessorThreadTests {
  /// Counts what is written to it.
  private final class Counter: BusDevice {
    let count = Atomic<Int>(0)
    func read(offset: UInt64, width: Int) -> UInt64 { 0 }
    func write(offset: UInt64, width: Int, value: UInt64) { count.add(1, ordering: .relaxed) }

    /// Whether there is more of it within some seconds.
    func grows() -> Bool {
      let before = count.load(ordering: .relaxed)
      for _ in 0..<10_000 {
        if count.load(ordering: .relaxed) > before + 2 { return true }
        usleep(1000)
      }
      return false
    }
  }

  /// A pause that was given up because the processor did not stop in time: the processor hears of it only afterwards.
  @Test func aProcessorThatIsInterruptedForNothingGoesOn() throws {
    ProcessorThread.installKick()
    let memory = try GuestMemory(regions: [(GuestAddress(0), 0x8000)])
    // 1: out 0x10, al; jmp 1b
    try memory.write([0xe6, 0x10, 0xeb, 0xfc], at: GuestAddress(0x1000))
    let machine = try KVMSystem().makeVirtualMachine()
    try machine.setTaskStateAddress(0xfffb_d000)
    try machine.setMemory(slot: 0, guestAddress: 0, size: 0x8000, hostAddress: memory.regions[0].hostAddress, flags: 0)
    let processor = try machine.makeProcessor(identifier: 0)
    var system = try processor.systemRegisters()
    (system.cs.base, system.cs.selector) = (0, 0)
    try processor.setSystemRegisters(system)
    var registers = try processor.registers()
    (registers.rip, registers.rflags) = (0x1000, 2)
    try processor.setRegisters(registers)

    let (counter, ports, control) = (Counter(), Bus(), try RunControl())
    try ports.insert(counter, at: try #require(BusRange(base: 0x10, length: 1)))
    let thread = try ProcessorThread(
      processor: processor, affinity: [],
      surroundings: ProcessorThread.Surroundings(
        ports: ports, memory: Bus(), control: control, confinement: nil, endOfInterrupt: nil, images: [],
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
    #expect(counter.grows())
    for _ in 0..<20 {
      thread.interrupt()
      #expect(counter.grows())
    }
    control.end(.stopped)
    thread.interrupt()
    thread.join()
    #expect(control.outcome == .stopped)
  }
}
