internal import BlockDevice
internal import CommandLine
internal import CommandLineTesting
internal import Machine
internal import PlatformDevices

@testable internal import crosvm

/// Reads bytes as a command line, zeroes between its words, and makes the configuration that it asks for, if it asks for one.
///
/// Whatever the bytes are: an error is one line that names the command, and what the options let through is right in itself.
func fuzzCommandLine(_ bytes: [UInt8]) {
  let words = bytes.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
  do {
    let invocation = try CommandParser.parse(words, with: Table.crosvm)
    _ = try GlobalOptions(invocation.levels[0])
    let arguments = invocation.levels[invocation.levels.count - 1]
    switch invocation.path.first {
    case _ where invocation.request == .help: precondition(!HelpPage(invocation.commands).text.isEmpty)
    case Table.run.name: check(try RunCommand.configuration(of: arguments))
    case Table.completions.name: _ = try arguments.value(of: Table.shell)
    default: break
    }
  } catch {
    let line = "\(error)"
    precondition(line.hasPrefix("crosvm") && isOneLine(line), "an error is one line that names the command")
  }
}

private func check(_ configuration: VMConfiguration) {
  for disk in configuration.disks { precondition((try? disk.validate()) != nil, "the table makes good disks only") }
  for port in configuration.serialPorts { precondition((try? port.validate()) != nil, "the table makes good serial ports only") }
  do {
    // Looks whether the files are there, and opens none.
    try configuration.validate()
  } catch {
    precondition(isOneLine("\(error)"), "an error is one line")
  }
  _ = configuration.completeSerialPorts
}
