/// What this build calls itself.
enum Version {
  /// The version by the rules of semver.org.
  static let number = "0.1.0"
  /// When its number or its options were changed last; manual pages show it.
  static let date = "2026-11-28"

  #if arch(x86_64)
    private static let architecture = "x86_64"
  #elseif arch(arm64)
    private static let architecture = "aarch64"
  #endif

  /// One line: name, version and the processor that guests run on.
  static let line = "crosvm \(number) (\(architecture))"
}
