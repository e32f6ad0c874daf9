internal import CLinux
internal import Glibc
internal import Platform

/// New namespaces for a process (namespaces(7)).
public struct Namespaces: Sendable {
  /// What a namespace separates.
  public enum Kind: CaseIterable, Sendable {
    /// Users and capabilities: what allows an ordinary user the others.
    case user
    /// Mounted file systems.
    case mount
    /// Processes.
    case process
    /// Network interfaces and abstract sockets.
    case network
    /// System V objects and message queues.
    case interprocess
    /// The host's name.
    case name
    /// Control groups.
    case controlGroup

    var flag: UInt {
      switch self {
      case .user: clinux_CLONE_NEWUSER
      case .mount: clinux_CLONE_NEWNS
      case .process: clinux_CLONE_NEWPID
      case .network: clinux_CLONE_NEWNET
      case .interprocess: clinux_CLONE_NEWIPC
      case .name: clinux_CLONE_NEWUTS
      case .controlGroup: clinux_CLONE_NEWCGROUP
      }
    }

    /// As the manual calls it.
    var name: String {
      switch self {
      case .user: "user"
      case .mount: "mount"
      case .process: "pid"
      case .network: "network"
      case .interprocess: "IPC"
      case .name: "UTS"
      case .controlGroup: "cgroup"
      }
    }

    /// What may be done where it is refused for this reason.
    func remedy(_ code: Int32) -> String {
      switch (self, code) {
      case (.user, ENOSPC), (_, ENOSPC): "raise /proc/sys/user/max_\(limitName)_namespaces"
      case (.user, _):
        "in a container, start that with a policy that allows it (as docker run --security-opt seccomp=unconfined); on a host, allow it"
          + " with sysctl kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0"
      default: "in a container, start that with a policy that allows it; on a host, use a kernel that has it"
      }
    }

    private var limitName: String {
      switch self {
      case .user: "user"
      case .mount: "mnt"
      case .process: "pid"
      case .network: "net"
      case .interprocess: "ipc"
      case .name: "uts"
      case .controlGroup: "cgroup"
      }
    }
  }

  /// Makes a child process in new namespaces of every kind, as fork(2) makes one in the old ones.
  ///
  /// The C library does not know of it: the child must do its work on a thread that it starts. The caller must have one thread only.
  ///
  /// - Returns: The child's number; 0 in the child.
  static func fork() throws(JailError) -> pid_t {
    let all = Kind.allCases.reduce(0) { $0 | $1.flag }
    let child = clinux_clone(all)
    if child >= 0 { return child }
    throw diagnose(SystemError.last("make a process in new namespaces"))
  }

  /// Finds out which kind was refused, by trying one more at a time.
  private static func diagnose(_ error: SystemError) -> JailError {
    var flags: UInt = 0
    for kind in Kind.allCases {
      flags |= kind.flag
      let child = clinux_clone(flags)
      let code = errno
      if child == 0 { _exit(0) }
      if child < 0 { return .namespace(kind, SystemError("make a \(kind.name) namespace", code: code)) }
      var status: Int32 = 0
      _ = unsafe waitpid(child, &status, 0)
    }
    return .step(error)
  }
}
