import CommandLine
import DiskImage

/// Makes and examines disk images.
enum ImageCommand {
  /// Does what a command line says, when it is one of these commands.
  static func perform(_ invocation: Invocation) throws(UsageError) -> ExitStatus? {
    let arguments = invocation.levels[invocation.levels.count - 1]
    let action: (Arguments, String) throws -> ExitStatus
    switch invocation.path {
    case [ImageCommands.createQcow2.name]: action = create
    case [ControlCommands.disk.name, ImageCommands.check.name]: action = { try check($0, $1, repair: .nothing) }
    case [ControlCommands.disk.name, ImageCommands.repair.name]: action = { try check($0, $1, repair: .all) }
    case [ControlCommands.disk.name, ImageCommands.information.name]: action = inform
    case [ControlCommands.disk.name, ImageCommands.map.name]: action = map
    case [ControlCommands.disk.name, ConvertCommand.command.name]: return try ConvertCommand.perform(arguments)
    case [ControlCommands.disk.name, "resize"] where try arguments.value(of: ControlCommands.diskSocket) == nil:
      action = { arguments, _ in try resize(arguments) }
    default: return nil
    }
    do { return try action(arguments, try arguments.value(of: ImageCommands.path) ?? "") } catch let error as UsageError {
      throw error
    } catch {
      StandardStreams.complain("\(arguments.commandName): \(text(of: error))")
      return .failure
    }
  }

  /// What the user of one of these commands is told.
  static func text(of error: any Error) -> String { (error as? DiskError)?.text(for: .command) ?? "\(error)" }

  private static func create(_ arguments: Arguments, _ path: String) throws -> ExitStatus {
    var format = Qcow2Image.Format()
    var size = try arguments.value(of: ImageCommands.size)
    let named = try arguments.value(of: ImageCommands.backingFormat)
    let backing = try arguments.value(of: ImageCommands.backingFile)
    guard named == nil || backing != nil else {
      throw UsageError(command: arguments.commandName, "--backing-format means nothing without a backing file; give --backing-file, too")
    }
    if let backing {
      let base = try Qcow2Image.backing(backing, of: path, format: named.flatMap { ImageFormat(rawValue: $0.rawValue) })
      format.backing = (backing, base.format.rawValue)
      size = size ?? base.size
    }
    try Qcow2Image.create(path: path, size: size ?? 0, format: format)
    return .success
  }

  private static func check(_ arguments: Arguments, _ path: String, repair: Qcow2Repair) throws -> ExitStatus {
    let report = try Qcow2Image.check(path: path, repair: repair)
    let text =
      arguments.contains(ImageCommands.json) ? ImageReport.json(report, path) : ImageReport.text(report, isRepaired: repair != .nothing)
    guard StandardStreams.print(text + "\n") else { return .failure }
    return report.isClean ? .success : .failure
  }

  /// Prints the ranges of a disk: as lines, or as `qemu-img map` does in JSON.
  private static func map(_ arguments: Arguments, _ path: String) throws -> ExitStatus {
    let disk = try ConvertCommand.open(path, arguments)
    let isJSON = arguments.contains(ImageCommands.json)
    var offset: UInt64 = 0
    var separator = isJSON ? "[" : ""
    while offset < disk.size {
      let start = offset
      var extent = try disk.extent(at: offset)
      offset += extent.count
      while offset < disk.size, case let next = try disk.extent(at: offset), next.follows(extent) {
        extent.count += next.count
        offset += next.count
      }
      guard StandardStreams.print(separator + ImageReport.range(start, extent, isJSON: isJSON)) else { return .failure }
      separator = isJSON ? ",\n" : "\n"
    }
    return Crosvm.print(isJSON ? "]\n" : "\n")
  }

  private static func resize(_ arguments: Arguments) throws -> ExitStatus {
    let path = try arguments.value(of: ControlCommands.diskIndex) ?? ""
    let size = try arguments.value(of: ControlCommands.diskSize) ?? 0
    let files = try ImageFiles.open(path: path, options: try ConvertCommand.options(arguments))
    let disk = try files.assemble()
    // Others say themselves that they cannot.
    if files.format == .raw, size < disk.size, !arguments.contains(ControlCommands.shrink) {
      throw DiskError.shrinks(path, from: disk.size, to: size)
    }
    try disk.resize(to: size)
    disk.finish()
    return .success
  }

  private static func inform(_ arguments: Arguments, _ path: String) throws -> ExitStatus {
    let facts = try ImageFacts(path: path)
    return Crosvm.print((arguments.contains(ImageCommands.json) ? ImageReport.json(facts) : ImageReport.text(facts)) + "\n")
  }
}
