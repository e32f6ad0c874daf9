internal import CLinux
internal import Glibc
public import Logging
public import Platform
internal import Seccomp
public import Virtio

/// Makes a device of what its blueprint wrote: the machine's list of kinds.
public typealias DeviceBuilder =
  @Sendable (_ kind: String, _ blueprint: inout ByteReader, _ descriptors: DescriptorList, _ logger: Logger) throws -> any VirtioDevice

/// A device's own process, from its birth to its end.
struct DeviceProcess {
  let specification: DeviceSpecification
  let descriptors: DeviceDescriptors
  /// Whether the user namespace has the user who owns nothing: where the VMM's user is root, as a rule.
  let isPrivileged: Bool
  let builder: DeviceBuilder

  /// Locks the process in, builds the device and serves it.
  func run() -> Never {
    var current = descriptors
    do {
      let kept = try keepOnlyOurs()
      current = kept
      let rings = try lockIn(kept)
      let server = DeviceServer.Start(specification: specification, descriptors: kept, rings: rings, builder: builder)
      // On a thread of its own: the C library has a wrong idea of this one, which was not made by fork(2).
      let thread = try PThread(name: specification.name, stackSize: 1 << 20) { server.run() }
      thread.join()
    } catch {
      try? PacketSocket(current.requests.takeOrStandardInput()).send(DeviceMessage.failed("\(error)").encoded)
    }
    _exit(1)
  }

  /// Closes everything that is not this device's, and moves the rest to the lowest numbers: 0 and 1 are nothing, 2 leads to the events.
  private func keepOnlyOurs() throws(SystemError) -> DeviceDescriptors {
    let boxes =
      [descriptors.requests, descriptors.events, descriptors.memory, descriptors.line.trigger, descriptors.line.resample]
      + descriptors.device
    // The launcher has fewer than 192 open but for these; and their new numbers end below.
    let first = max(192, (boxes.map(\.number).max() ?? 0) + 1, Int32(clamping: boxes.count) + 8)
    for (index, box) in boxes.enumerated() {
      let number = try retrying("keep a descriptor") { Int(clinux_fcntl(box.number, F_DUPFD, Int(first) + index)) }
      guard number == Int(first) + index else { throw SystemError("keep a descriptor", code: EMFILE) }
    }
    guard clinux_close_range(0, UInt32(first) - 1) == 0 else { throw SystemError.last("close what is not the device's") }
    for _ in 0..<2 { try retrying("open /dev/null") { unsafe Int(clinux_open("/dev/null", O_RDWR, 0)) } }
    try retrying("keep a descriptor") { Int(dup2(first + 1, STDERR_FILENO)) }
    for index in 0..<boxes.count {
      try retrying("keep a descriptor") { Int(clinux_fcntl(first + Int32(index), F_DUPFD_CLOEXEC, 3)) }
    }
    guard clinux_close_range(UInt32(first), UInt32.max) == 0 else { throw SystemError.last("close what is not the device's") }
    // The boxes of before would close the new ones' numbers.
    for box in boxes { _ = box.take()?.release() }
    let kept = (0..<boxes.count).map { DescriptorBox(OwnedDescriptor(owning: 3 + Int32($0))) }
    do { return try DeviceDescriptors(kept) } catch { throw SystemError("keep the device's descriptors", code: EBADF) }
  }

  /// Gives up everything that the device does not need.
  ///
  /// - Returns: The rings, the last that the process makes.
  private func lockIn(_ kept: DeviceDescriptors) throws -> [Handover<IOUring>] {
    do throws(SystemError) {
      _ = unsafe sethostname(specification.name, specification.name.utf8.count)
      try EmptyRoot.enter()
      if isPrivileged { try Privileges.become(user: LauncherProcess.nobody) }
      try ResourceLimits.apply(
        guestMemory: specification.regions.reduce(0) { $0 &+ UInt($1.size) }, extraMemory: UInt(specification.extraMemory),
        extraDescriptors: specification.extraDescriptors)
      ResourceLimits.limitArenas(1)
      try Privileges.forbidNew()
      try Privileges.dropCapabilities()
      try Privileges.forbidFiles()
      _ = unsafe pthread_setname_np(pthread_self(), specification.name)
      // Not before the user is set, which forgets it. The launcher may be gone already: then the connection is closed, too.
      if clinux_prctl(PR_SET_PDEATHSIG, UInt(SIGKILL)) < 0 { throw SystemError.last("die with the launcher") }
      // Nobody of the same user looks into it, and a crash leaves no image of it.
      _ = clinux_prctl(PR_SET_DUMPABLE, 0)
    } catch { throw JailError.step(error) }
    _ = clinux_report_violations(kept.events.number, DeviceEvent.violationKind)
    let rings = try IOUring.reserve(specification.rings)
    try SeccompProgram(bytes: specification.program).install()
    return rings
  }
}

extension DescriptorBox {
  /// The descriptor; after it was given away, one that leads nowhere.
  fileprivate func takeOrStandardInput() -> OwnedDescriptor { take() ?? OwnedDescriptor(owning: STDIN_FILENO) }
}
