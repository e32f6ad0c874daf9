import Machine
import Sandbox

/// The process that makes device processes, forked before anything is known.
enum EarlyLauncher {
  /// Forks it if the arguments look as if a machine were to be run with its sandbox: nothing is parsed yet, for what is parsed would be
  /// inherited. A launcher that turns out not to be needed ends with this process.
  static func start(_ arguments: [String]) throws -> Launcher? {
    guard arguments.contains("run"), !arguments.contains("--disable-sandbox") else { return nil }
    return try Machine.makeLauncher()
  }
}
