internal import CLinux
internal import Glibc
internal import Platform

/// Gives the process a root directory with nothing in it: a fresh file system in memory, read-only.
enum EmptyRoot {
  /// Any directory that every host has: the new root is mounted there, and then takes the place of all.
  private static let places = ["/proc", "/dev", "/tmp"]

  /// Leaves the host's file systems behind. The process must be in a mount namespace of its own.
  static func enter() throws(SystemError) {
    let hard = UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC)
    // What is mounted here shall not show in the host.
    try mount(nil, "/", nil, UInt(MS_REC | MS_PRIVATE), nil)
    var status = stat()
    guard let place = places.first(where: { unsafe stat($0, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR }) else {
      throw SystemError("find a directory for an empty root", code: ENOENT)
    }
    try mount("none", place, "tmpfs", hard, "size=4k,nr_inodes=2,mode=0555")
    try step("enter the empty root", unsafe chdir(place))
    // Both are the same directory: the old root is then mounted on top of the new one, and taken away from there (pivot_root(2)).
    try step("make the empty root the root", unsafe clinux_pivot_root(".", "."))
    try step("let go of the old root", unsafe umount2(".", Int32(MNT_DETACH)))
    try step("enter the empty root", unsafe chdir("/"))
    try mount(nil, "/", nil, hard | UInt(MS_REMOUNT | MS_BIND | MS_RDONLY), nil)
  }

  private static func mount(_ source: String?, _ target: String, _ type: String?, _ flags: UInt, _ data: String?) throws(SystemError) {
    let code = unsafe withOptionalCString(source) { source in
      unsafe withOptionalCString(type) { type in
        unsafe withOptionalCString(data) { data in unsafe Glibc.mount(source, target, type, flags, data) }
      }
    }
    try step("mount \(type ?? "") at \(target)", code)
  }

  private static func withOptionalCString(_ text: String?, _ body: (UnsafePointer<CChar>?) -> Int32) -> Int32 {
    guard let text else { return body(nil) }
    return unsafe text.withCString { unsafe body($0) }
  }

  private static func step(_ name: String, _ code: Int32) throws(SystemError) {
    if code < 0 { throw SystemError.last(name) }
  }
}
