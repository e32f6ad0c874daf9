internal import CLinux
internal import Glibc
public import Platform

/// A tap of the host, open: made in the VMM, which may need privileges for it, and used in the device's process, which needs none.
public struct Tap: Sendable {
  /// The descriptors of the queues, at least one; none blocks.
  public let queues: [DescriptorBox]
  /// What the kernel's taps take.
  public let offloads: NetOffloads
  /// The largest packet in bytes; `nil` where that cannot be found out.
  public let mtu: Int?
  /// What the user should know of it.
  public let warnings: [String]

  /// Opens the tap that a configuration names, or makes the one that it describes.
  public static func open(_ configuration: NetConfiguration) throws(TapError) -> Tap {
    let count = configuration.pairCount
    let name: String
    let queues: [DescriptorBox]
    switch configuration.attachment {
    case .tap(let wanted):
      try find(configuration)
      (name, queues) = try openQueues(wanted, count)
      // Several programs may open queues of one tap, and each gets a part of what comes.
      if let look = TapLook(name), look.hasQueues(count + 1) { throw .attach(name, EBUSY) }
    case .descriptor(let number): (name, queues) = try take(number, count)
    case .host(let address, let netmask):
      (name, queues) = try openQueues(newName, count)
      try TapAddress.set(on: name, address, netmask: netmask, mtu: configuration.mtu)
    // The user's own network is none of taps.
    case .user: throw .system(SystemError("open a tap", code: EINVAL))
    }
    let offloads = try prepare(queues, name)
    let isHere = queues.first.map { TapAddress.isHere(name, $0.number) } ?? false
    let isDown = isHere && TapAddress.isDown(name)
    return Tap(
      queues: queues, offloads: offloads, mtu: isHere ? TapAddress.mtu(of: name) : nil,
      warnings: isDown ? ["the tap \(name.debugDescription) is down, so nothing goes over it yet: ip link set \(name) up"] : [])
  }

  /// Sees that the tap that a configuration names is there.
  ///
  /// - Throws: `missing`.
  public static func find(_ configuration: NetConfiguration) throws(TapError) {
    guard case .tap(let name) = configuration.attachment else { return }
    // A string, which lives across the call.
    guard unsafe if_nametoindex(name) != 0 else { throw .missing(name, queues: configuration.pairCount) }
  }

  /// What taps of our own are called: the kernel counts them.
  private static let newName = "vmtap%d"
  private static let device = "/dev/net/tun"
  private static let flags = Int32(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

  // MARK: Queues

  /// Opens queues of a tap by its name, or of a new one by a pattern.
  private static func openQueues(_ wanted: String, _ count: Int) throws(TapError) -> (String, [DescriptorBox]) {
    if count > 1 { return try openQueues(wanted, count, flags: flags | Int32(clinux_IFF_MULTI_QUEUE)) }
    do { return try openQueues(wanted, count, flags: flags) } catch {
      // One that was made for several queues may have one.
      guard case .attach(_, EINVAL) = error else { throw error }
      return try openQueues(wanted, count, flags: flags | Int32(clinux_IFF_MULTI_QUEUE))
    }
  }

  private static func openQueues(_ wanted: String, _ count: Int, flags: Int32) throws(TapError) -> (String, [DescriptorBox]) {
    var name = wanted
    var queues: [DescriptorBox] = []
    for _ in 0..<count {
      let queue: OwnedDescriptor
      do { queue = try .open(device, flags: O_RDWR | O_NONBLOCK) } catch { throw .noTaps(error) }
      name = try attach(queue.number, to: name, flags: flags)
      queues.append(DescriptorBox(queue))
    }
    return (name, queues)
  }

  /// Makes a descriptor a queue of a tap, and returns the tap's name.
  private static func attach(_ descriptor: Int32, to name: String, flags: Int32) throws(TapError) -> String {
    var buffer = padded(name)
    // The kernel writes a name of that size.
    guard unsafe clinux_tun_attach(descriptor, &buffer, Int16(truncatingIfNeeded: flags)) == 0 else {
      let code = errno
      throw code == EINVAL ? TapLook(name)?.problem(name, opening: flags) ?? .attach(name, code) : .attach(name, code)
    }
    return text(buffer)
  }

  /// Takes over a descriptor that another program has opened, and opens further queues of its tap.
  private static func take(_ number: Int32, _ count: Int) throws(TapError) -> (String, [DescriptorBox]) {
    var buffer = padded("")
    // The kernel writes a name of that size.
    let found = unsafe clinux_tun_describe(number, &buffer)
    guard found >= 0 else { throw .noTap(number, errno) }
    let name = text(buffer)
    let isHere = TapAddress.isHere(name, number)
    // The bit of IFF_NO_PI says something else there (IFF_NOFILTER).
    let real = isHere ? TapLook(name)?.flags ?? found : found
    guard found & real & flags == flags else { throw .wrongFlags(number) }
    let isMultiple = found & Int32(clinux_IFF_MULTI_QUEUE) != 0
    guard count == 1 || isMultiple else { throw .oneQueue(number) }
    do {
      let queue = try OwnedDescriptor.duplicate(number)
      let mode = clinux_fcntl(queue.number, F_GETFL, 0)
      try retrying("make descriptor \(number) one that does not block") { Int(clinux_fcntl(queue.number, F_SETFL, Int(mode | O_NONBLOCK))) }
      let first = DescriptorBox(queue)
      guard count > 1 else { return (name, [first]) }
      // By its name another tap would be found there, or made.
      guard isHere else { throw TapError.elsewhere(number) }
      return (name, [first] + (try openQueues(name, count - 1, flags: flags | Int32(clinux_IFF_MULTI_QUEUE)).1))
    } catch let error as TapError { throw error } catch { throw .system(error as? SystemError ?? SystemError("take a tap", code: EINVAL)) }
  }

  /// Sets the size of headers and the carrier, and finds out which offloads the kernel knows. None is on afterwards.
  private static func prepare(_ queues: [DescriptorBox], _ name: String) throws(TapError) -> NetOffloads {
    var size = Int32(NetHeader.size)
    for queue in queues {
      // The kernel reads one number.
      guard unsafe clinux_ioctl_pointer(queue.number, clinux_TUNSETVNETHDRSZ, &size) == 0 else {
        throw .system(.last("set the size of headers of the tap \(name)"))
      }
    }
    guard let first = queues.first else { return [] }
    // A descriptor that was used before may have been left with its cable pulled. Kernels before 4.20 know of none.
    var carrier: Int32 = 1
    // The kernel reads one number.
    _ = unsafe clinux_ioctl_pointer(first.number, clinux_TUNSETCARRIER, &carrier)
    let basic: NetOffloads = [.checksum, .tso4, .tso6]
    let sets: [NetOffloads] = [basic.union([.ecn, .ufo, .uso4, .uso6]), basic.union([.ecn, .ufo]), basic.union(.ecn), basic, .checksum]
    let known = sets.first { clinux_ioctl_value(first.number, clinux_TUNSETOFFLOAD, UInt($0.rawValue)) == 0 } ?? []
    _ = clinux_ioctl_value(first.number, clinux_TUNSETOFFLOAD, 0)
    return known
  }
}

/// A name as the kernel takes it.
private func padded(_ name: String) -> [CChar] {
  let bytes = name.utf8.prefix(Int(IFNAMSIZ) - 1).map { CChar(bitPattern: $0) }
  return bytes + [CChar](repeating: 0, count: Int(IFNAMSIZ) - bytes.count)
}

/// A name as the kernel gives it.
private func text(_ buffer: [CChar]) -> String {
  String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
