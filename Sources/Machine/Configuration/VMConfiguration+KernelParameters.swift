internal import PlatformDevices

extension VMConfiguration {
  /// The words of the kernel's command line in their order: what the machine needs, the root device, then the user's, which so have the last word.
  ///
  /// Empty where a firmware is started.
  public var kernelParameters: [String] {
    guard case .kernel(let kernel) = boot else { return [] }
    return consoleParameters + exitParameters + rootParameters + kernel.parameters.filter { !$0.isEmpty }
  }

  private var consoleParameters: [String] {
    let ports = completeSerialPorts
    var words: [String] = []
    if let early = ports.first(where: \.isEarlyConsole), let address = VMConfiguration.earlyConsoleAddresses[early.number] {
      words.append("earlycon=uart8250,io,\(address)")
    }
    if let console = ports.first(where: \.isConsole) {
      // With flow control ("r"), or else the guest's terminal drops what it has no room for when much is pasted at once.
      words.append("console=\(console.guestName)\(console.hardware == .serial ? ",115200n8r" : "")")
    }
    return words
  }

  /// A panic ends the machine at once, and a reset takes the shortest way there is: the keyboard controller, or else ACPI's reset register.
  private var exitParameters: [String] {
    [hasI8042 ? "reboot=k" : "reboot=a", "panic=-1"]
  }

  private var rootParameters: [String] {
    guard let root = rootDevice else { return [] }
    return ["root=\(root.name)", root.isReadOnly ? "ro" : "rw"]
  }

  /// Where a PC's COM ports are, by their number.
  private static let earlyConsoleAddresses = [1: "0x3f8", 2: "0x2f8", 3: "0x3e8", 4: "0x2e8"]
}
