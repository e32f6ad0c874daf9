internal import CLinux
internal import Glibc
internal import Platform
internal import Seccomp

/// Connects Unix sockets for a device whose own process sees no files: a process beside the launcher, which lives as long as the device.
///
/// All that it does is to make a socket, connect it to a path that begins as it was told and ends in the number that the device asks for,
/// and pass it on; its filter of system calls allows no more.
enum SocketConnector {
  /// Makes the process.
  ///
  /// - Parameters:
  ///   - prefix: The beginning of the paths.
  ///   - program: The system calls that it may use.
  /// - Returns: The device's end of the connection to it.
  static func fork(prefix: String, program: [UInt8]) throws(SystemError) -> OwnedDescriptor {
    let (ours, theirs) = try PacketSocket.pair()
    let child = try retrying("fork a connector") { Int(clinux_fork()) }
    if child == 0 { run(theirs.number, prefix: prefix, program: program) }
    return try OwnedDescriptor.duplicate(ours.number)
  }

  /// The process.
  private static func run(_ descriptor: Int32, prefix: String, program: [UInt8]) -> Never {
    _ = dup2(descriptor, 0)
    _ = clinux_close_range(1, .max)
    _ = unsafe pthread_setname_np(pthread_self(), "connector")
    let connection = PacketSocket(OwnedDescriptor(owning: 0))
    do {
      // The device is untrusted, and so is what may become of whoever listens to it.
      _ = clinux_prctl(PR_SET_DUMPABLE, 0)
      // Root may connect to the sockets of others, and for that the connector is there.
      try Privileges.dropCapabilities(but: CAP_DAC_OVERRIDE)
      try Privileges.forbidNew()
      try Privileges.forbidFiles()
      try SeccompProgram(bytes: program).install()
      while case .packet(let packet) = try connection.receive(limit: ConnectorRequest.size) {
        guard let request = ConnectorRequest(packet.bytes) else { break }
        try answer(request, prefix: prefix, to: connection)
      }
    } catch {}
    _exit(0)
  }

  private static func answer(_ request: ConnectorRequest, prefix: String, to connection: PacketSocket) throws(SystemError) {
    let socket: OwnedDescriptor
    do throws(SystemError) {
      socket = try UnixSocket.connect(
        to: "\(prefix)\(request.number)", kind: request.isSequenced ? .sequencedPacket : .stream, mayWait: false)
    } catch { return try connection.send(ConnectorAnswer(code: error.code).encoded) }
    try connection.send(ConnectorAnswer(code: 0).encoded, descriptors: [socket.number])
  }
}
