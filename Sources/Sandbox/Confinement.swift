internal import CLinux
public import Platform
internal import Seccomp

/// How the VMM itself is confined once it has opened everything.
public struct Confinement: Sendable {
  private let main: SeccompProgram
  private let processor: SeccompProgram
  private let launcher: Launcher

  /// Compiles the policies of the VMM's threads.
  ///
  /// - Throws: `PolicyError`.
  public init(policies: Launcher.Policies, launcher: Launcher) throws {
    main = try policies.program("main")
    processor = try policies.program("vcpu")
    self.launcher = launcher
  }

  /// Confines the calling thread and all that it starts later: no capabilities, and only the system calls that the VMM needs.
  public func enter() throws {
    try launcher.seal()
    ResourceLimits.limitArenas(2)
    try Privileges.forbidNew()
    try Privileges.dropCapabilities()
    _ = clinux_report_violations(launcher.number, LauncherProcess.violationKind)
    try main.install()
  }

  /// Confines the calling thread, a processor's, further.
  public func enterProcessor() throws(SystemError) { try processor.install() }
}
