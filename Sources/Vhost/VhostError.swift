internal import Glibc
public import Platform

/// Why the host's kernel does not serve a device.
public enum VhostError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kernel's device cannot be opened.
  case unavailable(path: String, SystemError)
  /// What was opened does not do what the kernel's device does.
  case otherDevice(path: String, SystemError)
  /// A request was refused.
  case request(SystemError)
  /// The driver has made a ring that the kernel does not understand; the queue's number.
  case brokenRing(UInt16)
  /// The driver accepted features that the kernel does not have.
  case missingFeatures(UInt64)
  /// Another virtual machine has the context identifier.
  case contextInUse(UInt32)
  /// No guest may have the context identifier.
  case contextReserved(UInt64)

  /// One line, with the values and the remedy.
  public var description: String {
    switch self {
    case .unavailable(let path, let error): "\(error)\(VhostError.remedy(path, error.code))"
    case .otherDevice(let path, let error):
      "\(path) does not take the guest's address, as the kernel's device does (\(error)); give another device"
    case .request(let error): error.description
    case .brokenRing(let queue): "the host's kernel does not understand the ring of queue \(queue)"
    case .missingFeatures(let bits): "the host's kernel lacks the features 0x\(String(bits, radix: 16)) that the driver accepted"
    case .contextInUse(let context): "another machine of this host has the context identifier \(context); give this one another"
    case .contextReserved(let context): "the context identifier \(context) is reserved; give one of 3 to 4294967294"
    }
  }

  private static func remedy(_ path: String, _ code: Int32) -> String {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let module = String(name.map { $0 == "-" ? "_" : $0 })
    return switch code {
    // A node without a driver behind it; none at all.
    case ENOENT, ENODEV, ENXIO: "; load the kernel's module (modprobe \(module)), if this host has it"
    case EACCES, EPERM: "; let this user open it (on many hosts the group kvm may)"
    default: ""
    }
  }
}
