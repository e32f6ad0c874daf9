internal import CSeccomp
internal import Glibc

/// A processor family whose system calls a policy names.
enum Architecture: String, CaseIterable {
  case x86 = "x86_64"
  case arm = "aarch64"

  /// The one this program runs on.
  static var native: Architecture {
    #if arch(x86_64)
      .x86
    #elseif arch(arm64)
      .arm
    #endif
  }

  /// What libseccomp and the kernel's audit call it.
  var token: UInt32 {
    switch self {
    case .x86: cseccomp_ARCH_X86_64
    case .arm: cseccomp_ARCH_AARCH64
    }
  }

  /// The number of a system call; `nil` where there is none of that name.
  func number(ofCall name: String) -> Int32? {
    // libseccomp gives negative numbers to calls of other architectures.
    let number = unsafe seccomp_syscall_resolve_name_arch(token, name)
    return number >= 0 ? number : nil
  }

  /// The name of a system call; `nil` where no call has that number.
  func name(ofCall number: Int) -> String? {
    guard let number = Int32(exactly: number), number >= 0 else { return nil }
    guard let name = unsafe seccomp_syscall_resolve_num_arch(token, number) else { return nil }
    // The caller of libseccomp frees the name.
    defer { unsafe free(name) }
    return unsafe String(cString: name)
  }
}

/// System calls by their names.
public enum SeccompNames {
  /// The name of this architecture's system call `number`, as a SIGSYS reports it; `"system call 999"` where no call is known by it.
  public static func name(ofCall number: Int) -> String { Architecture.native.name(ofCall: number) ?? "system call \(number)" }
}
