internal import CLinux
internal import Glibc
public import Platform

/// Why a tap cannot be used.
public enum TapError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The host has no taps, or does not let us have any.
  case noTaps(SystemError)
  /// There is no interface of that name, which is to have so many queues.
  case missing(String, queues: Int)
  /// The interface is something else.
  case notATap(String)
  /// The tap was made for one queue, and there are to be several.
  case singleQueue(String)
  /// The kernel does not give us a queue of it, for the reason that the number of a system error tells.
  case attach(String, Int32)
  /// The descriptor is not that of a tap.
  case noTap(Int32, Int32)
  /// The descriptor was opened in another way than we need.
  case wrongFlags(Int32)
  /// The descriptor is that of a tap for one queue, and there are to be several.
  case oneQueue(Int32)
  /// The descriptor is that of a tap in another network namespace, where we cannot open further queues.
  case elsewhere(Int32)
  /// Something else about it failed.
  case system(SystemError)

  /// One line: what is wrong and what to do.
  public var description: String {
    switch self {
    case .noTaps(let error) where error.code == ENOENT || error.code == ENODEV || error.code == ENXIO:
      "the host has no taps: \(error); load the kernel's module (modprobe tun)"
    case .noTaps(let error): "\(error); let this user read and write /dev/net/tun"
    case .missing(let name, let queues):
      "there is no network interface \(name.debugDescription); make it: \(TapError.recipe(name, queues: queues))"
    case .notATap(let name): "the network interface \(name.debugDescription) is not a tap; give another name"
    case .singleQueue(let name):
      "the tap \(name.debugDescription) has one queue; make it anew: ip link delete \(name), \(TapError.recipe(name, queues: 2))"
    case .attach("vmtap%d", EPERM):
      "a tap for host-ip needs the right to make network interfaces (CAP_NET_ADMIN); run as root, or make a tap beforehand and give tap-name"
    case .attach(let name, EPERM):
      "the tap \(name.debugDescription) is another user's; make it anew (ip link delete \(name), ip tuntap add \(name) mode tap user $USER), "
        + "or run as root"
    case .attach(let name, EBUSY): "the tap \(name.debugDescription) is used by another program; end that, or make another tap"
    case .attach(let name, EINVAL):
      "\(name.debugDescription) is not a tap, or one that was made for another number of queues (multi_queue); make it anew, or give another"
    case .attach(let name, let code): SystemError("use the tap \(name.debugDescription)", code: code).description
    case .noTap(let number, let code):
      "the descriptor \(number) is not that of a tap: \(SystemError("ask", code: code).reason); open /dev/net/tun and use TUNSETIFF"
    case .wrongFlags(let number):
      "the tap of descriptor \(number) was not opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR; open it so"
    case .oneQueue(let number):
      "the tap of descriptor \(number) was not opened with IFF_MULTI_QUEUE; open it so, or leave vq-pairs out"
    case .elsewhere(let number):
      "the tap of descriptor \(number) is in another network namespace, where its further queues cannot be opened; leave vq-pairs out"
    case .system(let error): error.description
    }
  }

  /// The commands that make a tap.
  private static func recipe(_ name: String, queues: Int) -> String {
    "ip tuntap add \(name) mode tap\(queues > 1 ? " multi_queue" : "") user $USER, ip link set \(name) up"
  }
}
