import CommandLine
import Control

/// Asks running machines for what the command line says, one after the other.
enum ControlCommand {
  /// Does it.
  ///
  /// - Returns: Whether all machines did what they were asked.
  static func perform(_ invocation: Invocation) throws(UsageError) -> ExitStatus {
    let arguments = invocation.levels[invocation.levels.count - 1]
    if invocation.path.first == ControlCommands.list.name {
      return Crosvm.print(MachineList.table(MachineList.running()))
    }
    let request = try request(invocation.path, arguments)
    var hasFailed = false
    for path in try arguments.values(of: ControlCommands.sockets) {
      if !ask(path, request, name: arguments.commandName) { hasFailed = true }
    }
    return hasFailed ? .failure : .success
  }

  private static func request(_ path: [String], _ arguments: Arguments) throws(UsageError) -> ControlRequest {
    switch path.joined(separator: " ") {
    case "stop": return .stop
    case "suspend": return .suspend
    case "resume": return .resume
    case "powerbtn": return .pressPowerButton
    case "balloon": return .balloon(bytes: UInt64(try arguments.value(of: ControlCommands.balloonSize) ?? 0))
    case "balloon_stats": return .balloonStatistics
    case "disk resize":
      let word = try arguments.value(of: ControlCommands.diskIndex) ?? ""
      guard let index = Int(word), index >= 0 else {
        throw UsageError(command: arguments.commandName, "\(quoted(word)) is no disk of a machine; give its number, from 0")
      }
      guard try arguments.value(of: ConvertCommand.sourceFormat) == nil, !arguments.contains(ConvertCommand.backing) else {
        throw UsageError(
          command: arguments.commandName, "--source-format and --backing are for images; leave them out with a machine's socket")
      }
      return .resizeDisk(
        index: index, bytes: try arguments.value(of: ControlCommands.diskSize) ?? 0, mayShrink: arguments.contains(ControlCommands.shrink))
    case "net link":
      return .setLink(
        card: try arguments.value(of: ControlCommands.cardIndex) ?? 0, isUp: try arguments.value(of: ControlCommands.linkState) == .up)
    case "usb attach":
      let name = try arguments.value(of: ControlCommands.usbDevice)
      return .attachUSB(name ?? ControlRequest.USBDeviceName(bus: 0, address: 0, vendor: 0, product: 0))
    case "usb detach": return .detachUSB(port: UInt8(clamping: try arguments.value(of: ControlCommands.usbPort) ?? 0))
    case "usb list": return .listUSB
    default: return .version
    }
  }

  /// Asks one machine; its answer goes to the standard output, its refusal to the standard error.
  private static func ask(_ path: String, _ request: ControlRequest, name: String) -> Bool {
    do {
      switch try ControlClient(path: path).ask(request) {
      case .done(""): return true
      case .done(let text): return StandardStreams.print(text + "\n")
      case .failed(let reason): StandardStreams.complain("\(name): \(path): \(reason)")
      }
    } catch {
      StandardStreams.complain("\(name): \(error)")
    }
    return false
  }
}
