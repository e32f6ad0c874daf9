internal import CLinux
internal import Glibc
internal import Platform

/// What sysfs says about a network interface (Documentation/ABI/testing/sysfs-class-net of Linux). It is for good messages, not for safety:
/// all of it may change at once, and nothing is known where sysfs is not there or is that of another network.
struct TapLook {
  private let folder: String
  /// How it was opened or made, as for TUNSETIFF; `nil` where it is neither a tap nor a tun, or nothing is known.
  let flags: Int32?

  /// Looks at the interface of a name in this process's network; `nil` where nothing can be seen.
  init?(_ name: String) {
    let folder = "/sys/class/net/\(name)"
    // A string, which lives across the call.
    let number = unsafe if_nametoindex(name)
    guard number != 0, TapLook.number(folder + "/ifindex") == Int(number), let address = TapAddress.hardwareAddress(of: name),
      TapLook.text(folder + "/address") == MACAddress(address)?.description
    else { return nil }
    self.folder = folder
    flags = TapLook.number(folder + "/tun_flags").map { Int32(truncatingIfNeeded: $0) }
  }

  /// Whether it has at least so many queues, of whichever program; those that are detached do not count.
  func hasQueues(_ count: Int) -> Bool { unsafe access("\(folder)/queues/rx-\(count - 1)", F_OK) == 0 }

  /// What keeps a queue of it from being opened in a way that the kernel calls invalid; `nil` where that cannot be seen.
  ///
  /// - Parameter flags: How the queue was to be opened.
  func problem(_ name: String, opening wanted: Int32) -> TapError? {
    guard let flags, flags & Int32(IFF_TAP) != 0 else { return .notATap(name) }
    return wanted & ~flags & Int32(clinux_IFF_MULTI_QUEUE) != 0 ? .singleQueue(name) : nil
  }

  /// The number in a file, decimal or, behind 0x, hexadecimal.
  private static func number(_ path: String) -> Int? {
    guard let text = text(path) else { return nil }
    return text.hasPrefix("0x") ? Int(text.dropFirst(2), radix: 16) : Int(text)
  }

  /// The line in a file.
  private static func text(_ path: String) -> String? {
    guard let file = try? OwnedDescriptor.open(path, flags: O_RDONLY) else { return nil }
    var bytes = [UInt8](repeating: 0, count: 32)
    // The array has room for that many.
    let count = unsafe read(file.number, &bytes, bytes.count)
    return String(String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).prefix { !$0.isNewline })
  }
}
