internal import Glibc
public import Platform

/// Why a process cannot be locked in.
public enum JailError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The host refuses a new namespace of this kind.
  case namespace(Namespaces.Kind, SystemError)
  /// A later step failed; which one, on what.
  case step(SystemError)

  /// What is wrong, and what to do.
  public var description: String {
    switch self {
    case .namespace(let kind, let error):
      "this host refuses a new \(kind.name) namespace (\(error.reason)): \(kind.remedy(error.code)), or run without the sandbox (--disable-sandbox)"
    case .step(let error):
      "the sandbox cannot be set up: \(error)\(JailError.remedy(error.code)); --disable-sandbox runs without it"
    }
  }

  /// What may be done where a step is refused that any process in its own namespaces may do.
  private static func remedy(_ code: Int32) -> String {
    guard code == EACCES || code == EPERM else { return "" }
    return ". Perhaps AppArmor forbids it: in a container, start that with --security-opt apparmor=unconfined; on a host, try sysctl"
      + " kernel.apparmor_restrict_unprivileged_userns=0"
  }
}
