internal import CLinux
internal import Glibc
internal import Platform

/// What the host can do for a guest, beyond what KVM's capabilities say.
enum HostProcessor {
  /// Whether the host's processor virtualizes in hardware. Where it does not and /dev/kvm works all the same, KVM is para-virtual: it runs
  /// small programs, and Linux kernels made for it.
  static func hasVirtualization(processorInformation path: String = "/proc/cpuinfo") -> Bool {
    guard let text = firstBytes(of: path, count: 8192) else { return true }
    guard let flags = text.split(separator: "\n").first(where: { $0.hasPrefix("flags") }) else { return true }
    return flags.split(separator: " ").contains { $0 == "svm" || $0 == "vmx" }
  }

  /// The width of a physical address, from the leaves that a guest gets (CPUID 0x80000008, EAX bits 7:0): 36...52.
  static func physicalAddressBits(_ leaves: [kvm_cpuid_entry2]) -> Int {
    let bits = leaves.first { $0.function == 0x8000_0008 }.map { Int($0.eax & 0xff) } ?? 36
    return min(max(bits, 36), 52)
  }

  private static func firstBytes(of path: String, count: Int) -> String? {
    guard let file = try? OwnedDescriptor.open(path, flags: O_RDONLY) else { return nil }
    var bytes = [UInt8](repeating: 0, count: count)
    let length = unsafe read(file.number, &bytes, count)
    return length > 0 ? String(decoding: bytes.prefix(length), as: UTF8.self) : nil
  }
}
