import CommandLine
import DiskImage

/// The commands that make and examine disk images, which no machine uses meanwhile.
enum ImageCommands {
  static let path = Positional("PATH", .path(), "The image file.")

  static let size = Positional(
    "SIZE", .size(.bytes), isRequired: false,
    "The size of the disk in bytes, or with K, M, G or T: a multiple of 512. With a backing file that file's size where it is left out.")

  static let backingFile = Option(
    "backing-file", .path(), "What the disk holds until it is written: a raw or qcow2 image within the folder of PATH, named from there.")

  static let backingFormat = Option(
    "backing-format", ValueType<ConvertCommand.Format>.choice("FORMAT"),
    "The backing file's format. Without it the file's first bytes tell: give it where a guest may have written them.")

  static let createQcow2 = Command("create_qcow2", "make an empty disk image") {
    $0.positionals = [path.description, size.description]
    $0.groups = [OptionGroup("Options", [backingFile.description, backingFormat.description])]
    $0.rules = [.atLeastOne(["SIZE", "--backing-file"])]
    $0.details = ["The image is of version 3, with clusters of 64 KiB. It takes its space as it is written."]
    $0.examples = [
      Command.Example("crosvm create_qcow2 disk.qcow2 20G", "An empty disk."),
      Command.Example(
        "crosvm create_qcow2 mine.qcow2 --backing-file base.qcow2",
        "A disk that begins as a copy of another; use it with --block mine.qcow2,format=qcow2,backing=on."),
    ]
  }

  static let json = Flag("json", "Print the result as JSON, in the form of qemu-img's.")

  static let check = Command("check", "look for what is wrong in a qcow2 image") {
    $0.positionals = [path.description]
    $0.groups = [OptionGroup("Options", [json.description])]
    $0.details = [
      "The exit status is 1 when something is wrong, be it only lost space or a mark that the image is corrupt. That it was not closed is"
        + " told, and is nothing wrong in itself."
    ]
  }

  static let repair = Command("repair", "make right what is wrong in a qcow2 image") {
    $0.positionals = [path.description]
    $0.groups = [OptionGroup("Options", [json.description])]
    $0.details = [
      "Refcounts and flags are made right, and lost space is given back; a mark that the image is corrupt goes when nothing else is wrong."
        + " What cannot be repaired is counted; the exit status is 1 then."
    ]
  }

  static let map = Command("map", "tell which ranges of a disk image hold data") {
    $0.positionals = [path.description]
    $0.groups = [
      OptionGroup(
        "Options", [json.description, ConvertCommand.sourceFormat.description, ConvertCommand.backing.description])
    ]
    $0.details = ["A line a range: where it is in the disk, its bytes, and where in the file it is; - for what is zero or elsewhere."]
  }

  static let information = Command("info", "tell what a disk image is") {
    $0.positionals = [path.description]
    $0.groups = [OptionGroup("Options", [json.description])]
    $0.details = [
      "Backing files are named, not opened. An image that is encrypted or has an external data file is described, too; no other command"
        + " reads one."
    ]
  }
}
