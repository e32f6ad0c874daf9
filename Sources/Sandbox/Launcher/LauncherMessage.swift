package import Platform

/// What the VMM tells its launcher.
enum LauncherOrder {
  /// Make a process for a device; its descriptors go along.
  case launch(DeviceSpecification)
  /// The machine runs, and will for a while.
  case settle
  /// Nothing comes after this that has an effect on anything: the guest runs from now on, and may take the VMM over.
  case seal
  /// When the VMM is gone: remove this socket, if it is still the one with these numbers.
  case removeAtEnd(path: String, device: UInt64, file: UInt64)
  /// Some of the bytes of an order that is too long for a packet, or of whose descriptors there are too many; the order is whole with the
  /// last piece.
  case piece([UInt8], isLast: Bool)

  /// The order itself, or its pieces.
  ///
  /// - Parameter descriptors: What goes along.
  func inPieces(_ descriptors: [Int32]) -> [(order: LauncherOrder, descriptors: [Int32])] {
    let bytes = encoded
    let (size, most) = (PacketSocket.largestPacket / 2, PacketSocket.mostDescriptors)
    if bytes.count <= size, descriptors.count <= most { return [(self, descriptors)] }
    let count = max((bytes.count + size - 1) / size, (descriptors.count + most - 1) / most)
    return (0..<count).map { index in
      (
        .piece(Array(bytes.dropFirst(index * size).prefix(size)), isLast: index == count - 1),
        Array(descriptors.dropFirst(index * most).prefix(most))
      )
    }
  }

  var encoded: [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .launch(let specification):
      writer.put(UInt8(0))
      specification.encode(to: &writer)
    case .settle: writer.put(UInt8(2))
    case .seal: writer.put(UInt8(3))
    case .removeAtEnd(let path, let device, let file):
      writer.put(UInt8(1))
      writer.put(path)
      writer.put(device)
      writer.put(file)
    case .piece(let bytes, let isLast):
      writer.put(UInt8(4))
      writer.put(isLast)
      writer.put(bytes)
    }
    return writer.bytes
  }

  init(_ packet: [UInt8]) throws(MalformedBytes) {
    var reader = ByteReader(packet)
    switch try reader.get(UInt8.self) {
    case 0: self = .launch(try DeviceSpecification(from: &reader))
    case 1: self = .removeAtEnd(path: try reader.getString(), device: try reader.get(), file: try reader.get())
    case 2: self = .settle
    case 3: self = .seal
    case 4:
      let isLast = try reader.getBool()
      self = .piece(try reader.getBytes(), isLast: isLast)
    default: throw MalformedBytes("it is no order to a launcher")
    }
    try reader.finish()
  }
}

/// What a launcher tells the VMM.
package enum LauncherReport: Equatable {
  /// No process could be made for a device, and why.
  case refused(name: String, reason: String)
  /// A device's process has ended, and how.
  case ended(name: String, reason: String)

  package var encoded: [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .refused(let name, let reason):
      writer.put(UInt8(0))
      writer.put(name)
      writer.put(reason)
    case .ended(let name, let reason):
      writer.put(UInt8(1))
      writer.put(name)
      writer.put(reason)
    }
    return writer.bytes
  }

  package init(_ packet: [UInt8]) throws(MalformedBytes) {
    var reader = ByteReader(packet)
    switch try reader.get(UInt8.self) {
    case 0: self = .refused(name: try reader.getString(), reason: try reader.getString())
    case 1: self = .ended(name: try reader.getString(), reason: try reader.getString())
    default: throw MalformedBytes("it is no report of a launcher")
    }
    try reader.finish()
  }
}
