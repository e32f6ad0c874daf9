public import Platform

/// Why the kernel's virtual machine interface cannot be used, or a request of it failed.
public enum KVMError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The device file cannot be opened.
  case unavailable(path: String, SystemError)
  /// The kernel speaks another version of the interface than 12, the only one since Linux 2.6.22.
  case wrongVersion(Int)
  /// The kernel lacks something the machine cannot do without.
  case missingCapability(String)
  /// A request failed.
  case request(SystemError)

  /// The failure in words, with the values and, where there is one, the remedy.
  public var description: String {
    switch self {
    case .unavailable(let path, let error):
      switch error.code {
      case 2: "\(path) does not exist: load the kvm module (modprobe kvm-intel or kvm-amd), or enable virtualization in the firmware"
      case 13:
        "\(path) may not be opened by this user: get access to it (ls -l \(path) shows which group has; where that is kvm:"
          + " usermod -aG kvm USER, and log in again)"
      default: "\(path) cannot be opened: \(error.reason)"
      }
    case .wrongVersion(let version): "the kernel's KVM interface has version \(version), expected 12"
    case .missingCapability(let name): "the kernel's KVM lacks \(name)"
    case .request(let error): error.description
    }
  }
}
