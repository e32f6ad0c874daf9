import Glibc
import Testing

/// The policies of the source tree as files of a workplace, for `--seccomp-policy-dir .`.
extension Workplace {
  /// Copies all of them.
  func writePolicies() {
    for name in Workplace.names(in: HostileDeviceTests.policies) ?? [] { write(name, Array(Workplace.policy(name).utf8)) }
  }

  /// Writes one with a text in the place of another, which it must have.
  func writePolicy(
    _ name: String, replacing old: String, by new: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let text = Workplace.policy("\(name).policy")
    let place = try #require(text.firstRange(of: old), sourceLocation: sourceLocation)
    write("\(name).policy", Array((text[..<place.lowerBound] + new + text[place.upperBound...]).utf8))
  }

  private static func policy(_ name: String) -> String {
    let file = unsafe open("\(HostileDeviceTests.policies)/\(name)", O_RDONLY | O_CLOEXEC)
    defer { close(file) }
    return String(decoding: contents(file), as: UTF8.self)
  }
}
