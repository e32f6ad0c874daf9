internal import CLinux
internal import Glibc

/// A system call that failed: which one, on what, and the kernel's reason.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What was attempted, as a short phrase: `"open /dev/kvm"`.
  public let operation: String
  /// The value of `errno`, as the kernel's headers number it.
  public let code: Int32

  /// Describes a failure whose reason is already known.
  public init(_ operation: String, code: Int32) {
    self.operation = operation
    self.code = code
  }

  /// Describes the call that just failed, from the thread's `errno`.
  public static func last(_ operation: @autoclosure () -> String) -> SystemError {
    let code = errno
    return SystemError(operation(), code: code)
  }

  /// The kernel's reason in words: `"No such file or directory"`.
  public var reason: String { unsafe String(cString: strerror(code)) }

  /// The failure in words, with the values and, where there is one, the remedy.
  public var description: String {
    switch code {
    case EMFILE: "\(operation): \(reason); let this process have more (ulimit -Hn)"
    default: "\(operation): \(reason)"
    }
  }
}

/// Repeats a call while a signal interrupts it, and returns its result when that is not negative.
///
/// - Throws: `SystemError` with `operation` and the thread's `errno`.
@discardableResult
public func retrying(_ operation: @autoclosure () -> String, _ call: () -> Int) throws(SystemError) -> Int {
  while true {
    let result = call()
    if result >= 0 { return result }
    if errno != EINTR { throw SystemError.last(operation()) }
  }
}
