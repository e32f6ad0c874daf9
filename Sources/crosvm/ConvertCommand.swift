import CommandLine
import DiskImage
import Glibc
import Platform

/// `crosvm disk convert`: makes an image of another format with the same content.
enum ConvertCommand {
  /// The formats that can be written.
  enum Format: String, CaseIterable {
    case raw, qcow2
  }

  static let source = Positional("SOURCE", .path(), "The image that is read.")
  static let target = Positional("TARGET", .path(), "The new file; there must be none of that name.")
  static let format = Option(
    "format", short: "f", ValueType<Format>.choice("FORMAT"),
    "The format of the new file. Without it the end of its name tells: .raw and .img, .qcow2 and .qcow.")
  static let sourceFormat = Option(
    "source-format", ValueType<ImageFormat>.choice("FORMAT"), "The format of the image. Without it its first bytes tell.")
  static let backing = Flag("backing", "Read the backing files that the image names, within its folder. Needs --source-format qcow2.")

  static let command = Command("convert", "make an image of another format with the same content") {
    $0.details = [
      "What is zero takes no room in the new image. Backing files become part of it, where --source-format qcow2 and --backing let them be"
        + " read. The file has its name only once it is complete."
    ]
    $0.groups = [OptionGroup("Formats", [format.description, sourceFormat.description, backing.description])]
    $0.positionals = [source.description, target.description]
    $0.examples = [
      Command.Example("crosvm disk convert disk.img disk.qcow2", "Make a qcow2 image of a raw one."),
      Command.Example(
        "crosvm disk convert --source-format qcow2 --backing overlay.qcow2 whole.qcow2", "Make one file of an image and its backing files."),
    ]
  }

  /// How a command opens an image, as its options say.
  static func options(_ arguments: Arguments) throws(UsageError) -> ImageFiles.Options {
    var options = ImageFiles.Options()
    options.refusesForeign = true
    options.format = try arguments.value(of: sourceFormat)
    options.allowsBacking = arguments.contains(backing)
    guard !options.allowsBacking || options.format == .qcow2 else {
      throw UsageError(
        command: arguments.commandName, "backing files need the image's format to be named; give --source-format qcow2 with --backing")
    }
    return options
  }

  /// The same for an image that is only read.
  private static func readingOptions(_ arguments: Arguments) throws(UsageError) -> ImageFiles.Options {
    var options = try options(arguments)
    options.isReadOnly = true
    return options
  }

  /// Opens an image to be read, as the options of a command say.
  static func open(_ path: String, _ arguments: Arguments) throws -> any SynchronousDisk {
    guard let disk = try ImageFiles.open(path: path, options: try readingOptions(arguments)).assemble() as? any SynchronousDisk else {
      throw DiskError.notADisk(path)
    }
    return disk
  }

  static func perform(_ arguments: Arguments) throws(UsageError) -> ExitStatus {
    let (source, target) = (try arguments.value(of: source) ?? "", try arguments.value(of: target) ?? "")
    let format: ImageConversion.Target? =
      switch try arguments.value(of: format) {
      case .raw: .raw
      case .qcow2: .qcow2(Qcow2Image.Format())
      case nil: ImageConversion.Target(path: target)
      }
    guard let format else {
      throw UsageError(command: arguments.commandName, "the name \(quoted(target)) does not tell a format; give --format raw or qcow2")
    }
    let options = try readingOptions(arguments)
    let progress = ProgressLine()
    defer { progress.end() }
    do {
      try ImageConversion.convert(try ImageFiles.open(path: source, options: options), to: target, as: format) {
        progress.show($0.done, of: $0.total)
      }
      return .success
    } catch {
      progress.end()
      StandardStreams.complain("\(arguments.commandName): \(ImageCommand.text(of: error))")
      return .failure
    }
  }
}

/// Tells on a terminal how far something is; nothing where the standard error is none.
final class ProgressLine {
  private let isShown = isatty(STDERR_FILENO) == 1
  private var last: UInt64?

  func show(_ done: UInt64, of total: UInt64) {
    guard isShown, total > 0 else { return }
    let percent = min(done, total) / max(total / 100, 1)
    guard percent != last else { return }
    last = percent
    write("\r\(min(percent, 100)) %")
  }

  /// Takes the line away.
  func end() {
    guard isShown, last != nil else { return }
    last = nil
    write("\r\u{1b}[K")
  }

  private func write(_ text: String) {
    let bytes = Array(text.utf8)
    _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
  }
}
