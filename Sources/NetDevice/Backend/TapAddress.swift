internal import CLinux
internal import Glibc
internal import Platform

/// The host's side of a tap: its address, and how large its packets may be (netdevice(7)).
enum TapAddress {
  // In all calls the name is a string that lives across the call.

  /// Gives the host an address on the tap, and sets it up.
  static func set(on name: String, _ address: IPv4Address, netmask: IPv4Address, mtu: Int?) throws(TapError) {
    let socket = try controlSocket(name)
    if let mtu { try check(unsafe clinux_interface_set_mtu(socket.number, name, Int32(clamping: mtu)), "set the MTU of", name) }
    try check(unsafe clinux_interface_set_address(socket.number, UInt(SIOCSIFADDR), name, address.rawValue), "set the address of", name)
    try check(unsafe clinux_interface_set_address(socket.number, UInt(SIOCSIFNETMASK), name, netmask.rawValue), "set the netmask of", name)
    let flags = unsafe clinux_interface_flags(socket.number, name)
    try check(flags, "read the flags of", name)
    try check(
      unsafe clinux_interface_set_flags(socket.number, name, Int16(truncatingIfNeeded: flags | Int32(IFF_UP))), "set up", name)
  }

  /// Whether the interface of that name in this process's network is the tap of a descriptor, which may be in another network.
  static func isHere(_ name: String, _ tap: Int32) -> Bool {
    guard let socket = try? controlSocket(name) else { return false }
    let (here, there) = (hardwareAddress(socket.number, name), hardwareAddress(tap, ""))
    return here != nil && here == there
  }

  /// The hardware address of the interface of that name in this process's network.
  static func hardwareAddress(of name: String) -> [UInt8]? {
    guard let socket = try? controlSocket(name) else { return nil }
    return hardwareAddress(socket.number, name)
  }

  private static func hardwareAddress(_ descriptor: Int32, _ name: String) -> [UInt8]? {
    var address = [UInt8](repeating: 0, count: 6)
    // The array has room for an address.
    return unsafe clinux_interface_hardware_address(descriptor, name, &address) == 0 ? address : nil
  }

  /// Whether the interface of that name is there and down.
  static func isDown(_ name: String) -> Bool {
    guard let socket = try? controlSocket(name) else { return false }
    let flags = unsafe clinux_interface_flags(socket.number, name)
    return flags >= 0 && flags & Int32(IFF_UP) == 0
  }

  /// How large packets may be, in bytes; `nil` where that cannot be found out.
  static func mtu(of name: String) -> Int? {
    guard let socket = try? controlSocket(name) else { return nil }
    let mtu = unsafe clinux_interface_mtu(socket.number, name)
    return NetConfiguration.mtus.contains(Int(mtu)) ? Int(mtu) : nil
  }

  private static func controlSocket(_ name: String) throws(TapError) -> OwnedDescriptor {
    let number = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard number >= 0 else { throw .system(.last("make a socket to set up the tap \(name)")) }
    return OwnedDescriptor(owning: number)
  }

  private static func check(_ code: Int32, _ what: String, _ name: String) throws(TapError) {
    if code < 0 { throw .system(.last("\(what) the tap \(name)")) }
  }
}
