internal import CLinux
internal import Glibc
public import GuestMemory
public import Platform

/// A virtio device whose rings the host's kernel serves (linux/vhost.h): what all kinds have in common.
///
/// The order of the calls: `setOwner` once, by the process whose memory the kernel is to work on; then, for each driver that comes, `accept`,
/// `share`, `connect` for each ring, and what starts the kind of device. All calls may come from any thread, one at a time.
public final class VhostDevice: Sendable {
  private let descriptor: OwnedDescriptor

  /// Opens the kernel's device.
  ///
  /// - Parameter path: Such as /dev/vhost-net.
  /// - Throws: `unavailable`.
  public init(path: String) throws(VhostError) {
    do { descriptor = try OwnedDescriptor.open(path, flags: O_RDWR) } catch { throw .unavailable(path: path, error) }
  }

  /// Takes a device that was opened by another process.
  public init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// The descriptor, lent.
  public var number: Int32 { descriptor.number }

  /// Makes this process the one whose memory the kernel works on. Only once for each device.
  public func setOwner() throws(VhostError) { try request(clinux_VHOST_SET_OWNER, "VHOST_SET_OWNER") }

  /// The features that the kernel offers, of rings and of the kind of device.
  public func features() throws(VhostError) -> UInt64 {
    var features: UInt64 = 0
    try unsafe request(clinux_VHOST_GET_FEATURES, "VHOST_GET_FEATURES", &features)
    return features
  }

  /// Tells the kernel what the driver accepted.
  ///
  /// - Throws: `missingFeatures` where the kernel does not have all of that.
  public func accept(_ features: UInt64) throws(VhostError) {
    let missing = features & ~(try self.features())
    guard missing == 0 else { throw .missingFeatures(missing) }
    var features = features
    try unsafe request(clinux_VHOST_SET_FEATURES, "VHOST_SET_FEATURES", &features)
  }

  /// Tells the kernel where the guest's memory is. It must stay mapped while the kernel serves.
  public func share(_ memory: GuestMemory) throws(VhostError) {
    // struct vhost_memory: the number of regions and a zero, of 32 bits each, and four numbers for each region.
    var table = [UInt64(memory.regions.count)]
    for region in memory.regions { table += [region.base.rawValue, region.size, region.hostAddress, 0] }
    try unsafe request(clinux_VHOST_SET_MEM_TABLE, "VHOST_SET_MEM_TABLE", &table)
  }

  /// Tells the kernel where a ring is. It must not serve the ring already.
  public func connect(_ ring: VhostRing, index: UInt32) throws(VhostError) {
    var size = vhost_vring_state(index: index, num: UInt32(ring.size))
    try unsafe request(clinux_VHOST_SET_VRING_NUM, "VHOST_SET_VRING_NUM", &size)
    var base = vhost_vring_state(index: index, num: UInt32(ring.nextAvailable))
    try unsafe request(clinux_VHOST_SET_VRING_BASE, "VHOST_SET_VRING_BASE", &base)
    var address = vhost_vring_addr()
    address.index = index
    address.desc_user_addr = VhostDevice.hostAddress(ring.descriptors)
    address.avail_user_addr = VhostDevice.hostAddress(ring.driver)
    address.used_user_addr = VhostDevice.hostAddress(ring.device)
    try unsafe request(clinux_VHOST_SET_VRING_ADDR, "VHOST_SET_VRING_ADDR", &address)
    try setCall(ring.call, index: index)
    if let error = ring.error {
      var file = vhost_vring_file(index: index, fd: error)
      try unsafe request(clinux_VHOST_SET_VRING_ERR, "VHOST_SET_VRING_ERR", &file)
    }
    var kick = vhost_vring_file(index: index, fd: ring.kick.number)
    try unsafe request(clinux_VHOST_SET_VRING_KICK, "VHOST_SET_VRING_KICK", &kick)
  }

  /// Has the kernel signal another event from now on when the driver of a ring is to be interrupted; lent while it serves the ring.
  public func setCall(_ descriptor: Int32, index: UInt32) throws(VhostError) {
    var call = vhost_vring_file(index: index, fd: descriptor)
    try unsafe request(clinux_VHOST_SET_VRING_CALL, "VHOST_SET_VRING_CALL", &call)
  }

  /// The available entry that the kernel would take next from a ring. Where the kind of device stops by this, it stops.
  public func nextAvailable(index: UInt32) throws(VhostError) -> UInt16 {
    var state = vhost_vring_state(index: index, num: 0)
    try unsafe request(clinux_VHOST_GET_VRING_BASE, "VHOST_GET_VRING_BASE", &state)
    return UInt16(truncatingIfNeeded: state.num)
  }

  /// Where a window on guest memory is in this process.
  private static func hostAddress(_ slice: GuestSlice) -> UInt64 { unsafe slice.withUnsafePointer { UInt64(UInt(bitPattern: $0)) } }

  private func request(_ number: UInt, _ name: String) throws(VhostError) {
    let device = descriptor.number
    do { try retrying(name) { Int(clinux_ioctl_value(device, number, 0)) } } catch { throw .request(error) }
  }

  /// The argument is what the request's number says; the kernel copies it during the call.
  @unsafe private func request(_ number: UInt, _ name: String, _ argument: UnsafeMutableRawPointer) throws(VhostError) {
    let device = descriptor.number
    do { try retrying(name) { unsafe Int(clinux_ioctl_pointer(device, number, argument)) } } catch { throw .request(error) }
  }
}

// MARK: - Network

extension VhostDevice {
  /// Begins to serve a ring of a network device: its packets go to and come from a tap or a socket; nil to stop.
  public func setBackend(_ descriptor: Int32?, index: UInt32) throws(VhostError) {
    var backend = vhost_vring_file(index: index, fd: descriptor ?? -1)
    try unsafe request(clinux_VHOST_NET_SET_BACKEND, "VHOST_NET_SET_BACKEND", &backend)
  }
}

// MARK: - Sockets

extension VhostDevice {
  /// Gives the guest its context identifier. Any process may do this, not only the owner.
  ///
  /// - Throws: `contextReserved`, or `contextInUse` where another machine has it.
  public func setGuestContext(_ context: UInt32) throws(VhostError) {
    guard context > 2, context != .max else { throw .contextReserved(UInt64(context)) }
    var value = UInt64(context)
    do throws(VhostError) { try unsafe request(clinux_VHOST_VSOCK_SET_GUEST_CID, "VHOST_VSOCK_SET_GUEST_CID", &value) } catch {
      guard case .request(let cause) = error, cause.code == EADDRINUSE else { throw error }
      throw .contextInUse(context)
    }
  }

  /// Begins to serve the receive and transmit rings of a socket device, or stops.
  public func setRunning(_ isRunning: Bool) throws(VhostError) {
    var value: Int32 = isRunning ? 1 : 0
    try unsafe request(clinux_VHOST_VSOCK_SET_RUNNING, "VHOST_VSOCK_SET_RUNNING", &value)
  }
}
