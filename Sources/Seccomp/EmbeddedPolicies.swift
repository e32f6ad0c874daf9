// Written by tools/embed-policies from seccomp/*/*.policy: change those.

/// The policies that are built in.
enum EmbeddedPolicies {
  #if arch(x86_64)
    /// Texts by file names.
    static let files: [String: String] = [
      "common_device.policy": #"""
      # nothing
      read: 1

      """#
    ]
  #elseif arch(arm64)
    /// Texts by file names.
    static let files: [String: String] = [
      "common_device.policy": #"""
      # nothing
      read: 1

      """#
    ]
  #endif
}
