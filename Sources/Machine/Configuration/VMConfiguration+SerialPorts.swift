internal import BasicDevices
internal import BlockDevice
public import PlatformDevices

extension VMConfiguration {
  /// The serial ports that the machine has: those of the user, and the four COM ports that a PC always has.
  ///
  /// Where the user names no console and leaves the first COM port alone, that port is the console on the standard output. It reads the standard input
  /// unless another port does. COM ports that are not named write nowhere. COM ports come first, in order, then virtio consoles.
  public var completeSerialPorts: [SerialConfiguration] {
    var ports = serialPorts
    for number in SerialConfiguration.numbers where !ports.contains(where: { $0.hardware == .serial && $0.number == number }) {
      var port = SerialConfiguration(number: number)
      if number == 1, !serialPorts.contains(where: \.isConsole) {
        port.backend = .standardOutput
        port.isConsole = true
        port.readsStandardInput = !serialPorts.contains(where: \.readsStandardInput)
      }
      ports.append(port)
    }
    return ports.filter { $0.hardware == .serial }.sorted { $0.number < $1.number }
      + ports.filter { $0.hardware == .virtioConsole }.sorted { $0.number < $1.number }
  }

  func validateSerialPorts() throws(ConfigurationError) {
    for port in serialPorts {
      do {
        try port.validate()
      } catch {
        throw .serial(error)
      }
    }
    for (index, port) in serialPorts.enumerated()
    where serialPorts[..<index].contains(where: { $0.hardware == port.hardware && $0.number == port.number }) {
      throw .serialNumberUsedTwice(port.hardware, port.number)
    }
    if let (first, second) = firstTwo(where: \.isConsole) { throw .twoConsoles(first, second) }
    if let (first, second) = firstTwo(where: \.isEarlyConsole) { throw .twoEarlyConsoles(first, second) }
    if let (first, second) = firstTwo(where: \.readsStandardInput) { throw .twoReadersOfStandardInput(first, second) }
    for port in serialPorts {
      guard case .file(let path) = port.backend else { continue }
      try PathCheck.outputFile(path, as: .serialOutput)
      // What the guest writes there would damage it.
      if let output = PathCheck.identity(path), inputFiles.contains(where: { PathCheck.identity($0) == output }) {
        throw .outputIsInput(path)
      }
    }
  }

  /// The files that the machine works with besides those it writes its output to.
  private var inputFiles: [String] {
    let images = disks.map(\.path) + persistentMemory.map(\.path)
    return switch boot {
    case .kernel(let kernel): images + [kernel.path] + (kernel.initramfs.map { [$0] } ?? [])
    case .firmware(let path): images + [path]
    }
  }

  private func firstTwo(where property: (SerialConfiguration) -> Bool) -> (String, String)? {
    let names = serialPorts.filter(property).map(\.guestName)
    return names.count < 2 ? nil : (names[0], names[1])
  }
}
