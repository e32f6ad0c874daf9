internal import CLinux

/// What the CPUID instruction tells a guest: what kernel and hardware support, with the topology of this machine.
struct ProcessorIdentification {
  /// The number of processors in the machine: one package, one thread a core.
  let processors: Int
  /// The leaves from KVM_GET_SUPPORTED_CPUID.
  let supported: [kvm_cpuid_entry2]
  /// Whether KVM's local APIC offers the TSC-deadline timer (KVM_CAP_TSC_DEADLINE_TIMER): not in the supported leaves for old reasons.
  let hasDeadlineTimer: Bool

  /// The leaves of one processor.
  func leaves(for identifier: Int) -> [kvm_cpuid_entry2] {
    let id = UInt32(identifier)
    let kept = supported.filter { ![0xb, 0x1f].contains($0.function) }
    return kept.map { adapted($0, id) } + topology(id)
  }

  /// The number of APIC ID bits that tell the cores of the package apart.
  private var coreBits: UInt32 { UInt32(UInt32.bitWidth - UInt32(max(processors - 1, 0)).leadingZeroBitCount) }

  private func adapted(_ entry: kvm_cpuid_entry2, _ id: UInt32) -> kvm_cpuid_entry2 {
    var entry = entry
    let count = UInt32(processors)
    switch (entry.function, entry.index) {
    case (0x1, _):
      // EBX: APIC ID, logical processors in the package, CLFLUSH line of 8 x 8 bytes.
      entry.ebx = (id << 24) | (min(count, 255) << 16) | (8 << 8) | (entry.ebx & 0xff)
      entry.ecx |= 1 << 31  // running under a hypervisor
      if hasDeadlineTimer { entry.ecx |= 1 << 24 } else { entry.ecx &= ~(1 << 24) }
      if count > 1 { entry.edx |= 1 << 28 } else { entry.edx &= ~(1 << 28) }
    case (0x4, _), (0x8000_001d, _):
      // Caches up to level 2 belong to one core, those above to the package; EAX also counts the cores on Intel.
      let level = (entry.eax >> 5) & 7
      let sharing = level >= 3 ? (UInt32(1) << coreBits) - 1 : 0
      entry.eax = (entry.eax & ~(0xfff << 14)) | (sharing << 14)
      if entry.function == 0x4 {
        entry.eax = (entry.eax & ~(0x3f << 26)) | (entry.eax & 0x1f == 0 ? 0 : (min((UInt32(1) << coreBits) - 1, 0x3f) << 26))
      }
    case (0x6, _):
      entry.ecx &= ~(1 << 3)  // no energy-performance bias: the guest would write its register
    case (0x8000_0008, _):
      entry.ecx = (entry.ecx & ~0xf0ff) | (coreBits << 12) | (count - 1)
    case (0x8000_001e, _):
      entry.eax = id
      entry.ebx = (entry.ebx & ~0xffff) | (id & 0xff)  // core ID, one thread a core
      entry.ecx &= ~0x7ff  // one node
    default: break
    }
    return entry
  }

  /// Leaf 0xb: one thread a core, then all cores of the package, then the end of the list.
  private func topology(_ id: UInt32) -> [kvm_cpuid_entry2] {
    guard supported.contains(where: { $0.function == 0 && $0.eax >= 0xb }) else { return [] }
    let levels: [(shift: UInt32, count: UInt32, kind: UInt32)] = [(0, 1, 1), (coreBits, UInt32(processors), 2), (0, 0, 0)]
    return levels.enumerated().map { index, level in
      var entry = kvm_cpuid_entry2()
      entry.function = 0xb
      entry.index = UInt32(index)
      entry.flags = UInt32(KVM_CPUID_FLAG_SIGNIFCANT_INDEX)
      entry.eax = level.shift
      entry.ebx = level.count
      entry.ecx = (level.kind << 8) | UInt32(index)
      entry.edx = id
      return entry
    }
  }
}
