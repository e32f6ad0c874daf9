import CommandLine
import Control
import Machine
import Platform

/// A machine that runs on this host, as its command line describes it.
struct MachineList {
  let process: Int
  let name: String?
  let mebibytes: UInt64
  let socket: String?

  /// The table of `crosvm list`: a line a machine below the columns' names.
  static func table(_ machines: [MachineList]) -> String {
    let rows =
      [["PID", "NAME", "MIB", "SOCKET"]]
      + machines.map { ["\($0.process)", $0.name ?? "-", "\($0.mebibytes)", $0.socket ?? "-"] }
    let widths = (0..<3).map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: "  ") + "  " + row[3] + "\n"
    }.joined()
  }

  /// The machines of this user, in the order of their processes.
  ///
  /// Nothing keeps a register of them that could be wrong: each process of the host that was started as `crosvm run` is one.
  static func running() -> [MachineList] {
    let processes = ProcessTable.own()
    let machines = processes.compactMap { process in machine(process).map { (process, $0) } }
    // The processes of its devices have the command line of their machine.
    let identifiers = Set(machines.map(\.0.identifier))
    return machines.filter { !identifiers.contains($0.0.parent) }.map(\.1)
  }

  private static func machine(_ process: ProcessTable.Entry) -> MachineList? {
    guard let program = process.arguments.first, program.split(separator: "/").last == "crosvm",
      let invocation = try? CommandParser.parse(Array(process.arguments.dropFirst()), with: Table.crosvm),
      invocation.path.first == Table.run.name, case .run = invocation.request,
      let configuration = try? RunCommand.configuration(of: invocation.levels[invocation.levels.count - 1])
    else { return nil }
    return MachineList(
      process: process.identifier, name: configuration.name, mebibytes: configuration.memory.size >> 20,
      socket: configuration.controlSocket.map { absolute($0, process) })
  }

  /// The socket's path as others can use it.
  private static func absolute(_ path: String, _ process: ProcessTable.Entry) -> String {
    var path = path
    if !path.hasPrefix("/"), let directory = process.directory { path = (directory == "/" ? "" : directory) + "/" + path }
    return ControlSocketPath.inDirectory(path, process: process.identifier) ?? path
  }
}
