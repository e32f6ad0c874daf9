public import CLinux
internal import Glibc
internal import Platform

/// The kernel's virtual machine monitor: /dev/kvm.
public final class KVMSystem: Sendable {
  let descriptor: OwnedDescriptor

  /// Opens the interface and checks its version.
  public init(path: String = "/dev/kvm") throws(KVMError) {
    do { descriptor = try OwnedDescriptor.open(path, flags: O_RDWR) } catch { throw .unavailable(path: path, error) }
    let version = try kvmRequest(descriptor.number, clinux_KVM_GET_API_VERSION, "KVM_GET_API_VERSION")
    guard version == 12 else { throw .wrongVersion(version) }
  }

  /// The value of a capability (KVM_CAP_...): zero where the kernel lacks it.
  public func capability(_ number: Int32) -> Int {
    (try? kvmRequest(descriptor.number, clinux_KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION", value: UInt(number))) ?? 0
  }

  /// The largest number of processors that a virtual machine may have here.
  public var processorLimit: Int { max(1, capability(KVM_CAP_MAX_VCPUS)) }

  /// The CPUID leaves that kernel and hardware can give a guest.
  public func supportedCPUID() throws(KVMError) -> [kvm_cpuid_entry2] {
    var capacity = 128
    while true {
      do throws(KVMError) {
        return try kvmRequest(
          descriptor.number, clinux_KVM_GET_SUPPORTED_CPUID, "KVM_GET_SUPPORTED_CPUID",
          list: [kvm_cpuid_entry2](repeating: kvm_cpuid_entry2(), count: capacity)
        ).entries
      } catch {
        guard case .request(let cause) = error, cause.code == E2BIG, capacity < 4096 else { throw error }
        capacity *= 2
      }
    }
  }

  /// Makes a virtual machine without memory and processors.
  public func makeVirtualMachine() throws(KVMError) -> VirtualMachine {
    // A signal during creation gives EINTR from some kernels, which `kvmRequest` repeats.
    let number = try kvmRequest(descriptor.number, clinux_KVM_CREATE_VM, "KVM_CREATE_VM")
    let size = try kvmRequest(descriptor.number, clinux_KVM_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE")
    return VirtualMachine(descriptor: OwnedDescriptor(owning: Int32(number)), runSize: size)
  }
}
