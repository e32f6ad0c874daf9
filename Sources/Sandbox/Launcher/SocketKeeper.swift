internal import CLinux
internal import Glibc
internal import Platform

/// Takes sockets of the VMM out of the file system when the machine has ended, for the VMM itself may not.
///
/// The launcher does that; a child of it, which only waits for its end, does it where the launcher was killed.
struct SocketKeeper: ~Copyable {
  /// A socket's name, and which file it was.
  struct Socket {
    let path: String
    let device: UInt64
    let file: UInt64

    /// Takes it away, unless another machine has its own there by now.
    func remove() {
      var status = stat()
      guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK, UInt64(status.st_dev) == device,
        UInt64(status.st_ino) == file
      else {
        return
      }
      _ = unsafe unlink(path)
    }
  }

  let sockets: [Socket]
  private let child: pid_t
  /// What the child waits at: a byte says that all is done, an end without one that it has to be done.
  private let pipe: OwnedDescriptor

  /// Begins to watch over sockets.
  init(_ sockets: [Socket]) throws(SystemError) {
    self.sockets = sockets
    var ends: [Int32] = [-1, -1]
    try retrying("make a pipe") { unsafe Int(Glibc.pipe(&ends)) }
    child = Int32(try retrying("fork") { Int(fork()) })
    if child == 0 {
      // Whoever kills all that belongs to the machine's job leaves somebody to clean up.
      _ = setpgid(0, 0)
      SocketKeeper.keepOnly(ends[0])
      var byte: UInt8 = 0
      var count = -1
      repeat { count = unsafe read(0, &byte, 1) } while count < 0 && errno == EINTR
      if count == 0 { for socket in sockets { socket.remove() } }
      _exit(0)
    }
    _ = close(ends[0])
    _ = clinux_fcntl(ends[1], F_SETFD, Int(FD_CLOEXEC))
    pipe = OwnedDescriptor(owning: ends[1])
  }

  /// In the child: makes a descriptor the only one.
  private static func keepOnly(_ descriptor: Int32) {
    _ = dup2(descriptor, 0)
    _ = clinux_close_range(1, .max)
    _ = unsafe pthread_setname_np(pthread_self(), "socket keeper")
  }

  /// Removes the sockets, and ends the child.
  consuming func finish() {
    for socket in sockets { socket.remove() }
    dismiss()
  }

  /// Ends the child: somebody else watches over the sockets now.
  consuming func dismiss() {
    var byte: UInt8 = 1
    _ = unsafe write(pipe.number, &byte, 1)
    var status: Int32 = 0
    _ = unsafe waitpid(child, &status, 0)
  }
}
