internal import CLinux
internal import Glibc
public import Platform

/// What a process may do beyond what an ordinary one may; it can only be given up (capabilities(7)).
public enum Privileges {
  /// Gives up all capabilities of the calling thread, now and for everything that it starts.
  ///
  /// - Parameter kept: One below 32 that is not given up, if the thread has it.
  public static func dropCapabilities(but kept: Int32? = nil) throws(SystemError) {
    // The bounding set while that is allowed; numbers end where the kernel knows no more.
    for capability in 0..<UInt(64) where kept.map({ UInt(bitPattern: Int($0)) }) != capability {
      if clinux_prctl(PR_CAPBSET_DROP, capability) < 0, errno != EPERM { break }
    }
    _ = clinux_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_CLEAR_ALL))
    var header = __user_cap_header_struct(version: 0x2008_0522, pid: 0)
    var sets = [__user_cap_data_struct](repeating: __user_cap_data_struct(effective: 0, permitted: 0, inheritable: 0), count: 2)
    if let kept {
      if unsafe clinux_capget(&header, &sets) < 0 { throw SystemError.last("look at capabilities") }
      let rest = sets[0].permitted & 1 << UInt32(kept)
      sets[0] = __user_cap_data_struct(effective: rest, permitted: rest, inheritable: 0)
      sets[1] = __user_cap_data_struct(effective: 0, permitted: 0, inheritable: 0)
    }
    if unsafe clinux_capset(&header, sets) < 0 { throw SystemError.last("drop capabilities") }
  }

  /// No program that is executed from here gains privileges; what a filter of system calls requires (PR_SET_NO_NEW_PRIVS).
  public static func forbidNew() throws(SystemError) {
    if clinux_prctl(PR_SET_NO_NEW_PRIVS, 1) < 0 { throw SystemError.last("forbid new privileges") }
  }

  /// Becomes a user of a user namespace that is nobody of the host, with no further groups.
  static func become(user: UInt32) throws(SystemError) {
    if clinux_setgroups(0, nil) < 0 { throw SystemError.last("leave all groups") }
    if clinux_setresgid(user) < 0 { throw SystemError.last("become group \(user)") }
    if clinux_setresuid(user) < 0 { throw SystemError.last("become user \(user)") }
  }

  /// Forbids every access to files by name, where the kernel has Landlock, and abstract sockets and signals of others, where its version has
  /// that (landlock(7)). Descriptors that are open stay usable, and sockets that are connected.
  static func forbidFiles() throws(SystemError) {
    let version = clinux_landlock_create_ruleset(nil, 0, 1)
    guard version >= 1 else { return }
    // Execute to make-symlink; then refer and truncate, as versions brought them.
    var files: UInt64 = (1 << 13) - 1
    if version >= 2 { files |= 1 << 13 }
    if version >= 3 { files |= 1 << 14 }
    // Files, networks, scopes (abstract sockets, signals): a kernel knows the fields of its version, version 1 the first only.
    let attributes: [UInt64] = version >= 6 ? [files, 0, 3] : [files]
    let number = unsafe attributes.withUnsafeBytes { unsafe clinux_landlock_create_ruleset($0.baseAddress, $0.count, 0) }
    guard number >= 0 else { throw SystemError.last("make a set of Landlock rules") }
    let rules = OwnedDescriptor(owning: number)
    if clinux_landlock_restrict_self(rules.number) < 0 { throw SystemError.last("apply Landlock rules") }
  }
}
