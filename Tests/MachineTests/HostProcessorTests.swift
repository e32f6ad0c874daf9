import CLinux
import Testing

@testable import Machine

@Suite("What the host can do")
struct HostProcessorTests {
  @Test("the width of addresses stays within what processors have", arguments: [(0, 36), (36, 36), (46, 46), (52, 52), (255, 52)])
  func addressBits(told: Int, expected: Int) {
    var leaf = kvm_cpuid_entry2()
    (leaf.function, leaf.eax) = (0x8000_0008, UInt32(told))
    #expect(HostProcessor.physicalAddressBits([leaf]) == expected)
  }

  @Test("a processor that does not say has 36 bits")
  func noLeaf() { #expect(HostProcessor.physicalAddressBits([]) == 36) }

  @Test("where /proc/cpuinfo cannot be read, the host gets the benefit of the doubt")
  func unreadable() { #expect(HostProcessor.hasVirtualization(processorInformation: "/nonexistent")) }
}
