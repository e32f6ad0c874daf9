import CLinux
import Testing

@testable import Machine

@Suite("What CPUID tells a guest")
struct ProcessorIdentificationTests {
  private func leaf(_ function: UInt32, _ index: UInt32 = 0, eax: UInt32 = 0, ebx: UInt32 = 0, ecx: UInt32 = 0, edx: UInt32 = 0)
    -> kvm_cpuid_entry2
  {
    var entry = kvm_cpuid_entry2()
    (entry.function, entry.index, entry.eax, entry.ebx, entry.ecx, entry.edx) = (function, index, eax, ebx, ecx, edx)
    return entry
  }

  private func leaves(processors: Int, identifier: Int, deadline: Bool = true, _ supported: [kvm_cpuid_entry2]) -> [kvm_cpuid_entry2] {
    ProcessorIdentification(processors: processors, supported: supported, hasDeadlineTimer: deadline).leaves(for: identifier)
  }

  @Test("leaf 1 names the APIC, the processors of the package, and the hypervisor")
  func leafOne() throws {
    let result = try #require(leaves(processors: 4, identifier: 3, [leaf(1, ebx: 0xffff_ff07)]).first)
    #expect(result.ebx == 3 << 24 | 4 << 16 | 8 << 8 | 7)
    #expect(result.ecx & (1 << 31) != 0)
    #expect(result.ecx & (1 << 24) != 0)
    #expect(result.edx & (1 << 28) != 0)
  }

  @Test("one processor has no multithreading bit, and no deadline timer where KVM has none")
  func single() throws {
    let result = try #require(leaves(processors: 1, identifier: 0, deadline: false, [leaf(1, ecx: 1 << 24, edx: 1 << 28)]).first)
    #expect(result.edx & (1 << 28) == 0)
    #expect(result.ecx & (1 << 24) == 0)
  }

  @Test("the host's topology is replaced by the machine's: one thread a core, all cores in a package", arguments: 1...32)
  func topology(processors: Int) {
    let result = leaves(
      processors: processors, identifier: processors - 1, [leaf(0, eax: 0x1f), leaf(0xb, 0, edx: 99), leaf(0x1f, 0, edx: 99)])
    let levels = result.filter { $0.function == 0xb }
    #expect(levels.map(\.ebx) == [1, UInt32(processors), 0])
    #expect(levels.map { $0.ecx >> 8 & 0xff } == [1, 2, 0])
    #expect(levels.allSatisfy { $0.edx == UInt32(processors - 1) })
    #expect(!result.contains { $0.function == 0x1f })
    // Shifting out the core bits leaves the same package for every processor.
    let shift = levels[1].eax
    #expect((0..<processors).allSatisfy { UInt32($0) >> shift == 0 })
  }

  @Test("a processor too old for leaf 0xb gets none")
  func oldProcessor() {
    #expect(!leaves(processors: 2, identifier: 0, [leaf(0, eax: 4)]).contains { $0.function == 0xb })
  }

  @Test("small caches belong to a core, the last level to the package")
  func caches() {
    let supported = [leaf(4, 0, eax: 1 << 5 | 1 | 0x3f << 14), leaf(4, 3, eax: 3 << 5 | 3 | 0x3f << 14), leaf(4, 4, eax: 0)]
    let result = leaves(processors: 4, identifier: 0, supported)
    #expect(result.map { $0.eax >> 14 & 0xfff } == [0, 3, 0])
    #expect(result.map { $0.eax >> 26 } == [3, 3, 0])
  }
}
