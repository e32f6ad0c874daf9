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
    case .step(let error): "the sandbox cannot be set up: \(error); --disable-sandbox runs without it"
    }
  }
}
