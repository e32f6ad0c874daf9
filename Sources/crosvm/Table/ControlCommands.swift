import CommandLine
import Control

/// The commands that ask running machines for something.
enum ControlCommands {
  /// All of them, in the order of the help.
  static let all = [stop, suspend, resume, powerButton, balloon, balloonStatistics, disk, net, usb, list]

  static let sockets = Positional(
    "SOCKET", .path(), isRepeatable: true, "The control socket of a machine, as given to crosvm run --socket; several ask each.")

  static let askedSockets = Positional(
    "SOCKET", .path(), isRequired: false, isRepeatable: true, "Control sockets of machines, to ask for the versions that run them.")

  static let socket = Positional("SOCKET", .path(), "The control socket of the machine, as given to crosvm run --socket.")

  static let stop = Command("stop", "end machines at once, as if their plugs were pulled") {
    $0.positionals = [sockets.description]
    $0.details = ["What the guest has not written to its disks is lost; crosvm powerbtn lets the guest shut down by itself."]
    $0.examples = [Command.Example("crosvm stop /run/user/1000/vm.sock", "End the machine that was started with --socket and this path.")]
  }

  static let suspend = Command("suspend", "hold machines still") {
    $0.positionals = [sockets.description]
    $0.details = ["Processors stop, and devices finish what they have begun. The guest's clocks run on, so that they are right afterwards."]
  }

  static let resume = Command("resume", "let machines go on after crosvm suspend") {
    $0.positionals = [sockets.description]
  }

  static let powerButton = Command("powerbtn", "press the power buttons of machines") {
    $0.positionals = [sockets.description]
    $0.details = ["A guest that listens shuts down in its own order, and its machine ends then."]
  }

  static let balloonSize = Positional("SIZE", .integer(0...Int.max, "SIZE"), "How many bytes of memory to take from each guest, in all.")

  static let balloon = Command("balloon", "take memory from guests, or give it back") {
    $0.positionals = [balloonSize.description, sockets.description]
  }

  static let balloonStatistics = Command("balloon_stats", "print how guests use their memory") {
    $0.positionals = [sockets.description]
  }

  static let diskIndex = Positional(
    "DISK", .path(),
    "With SOCKET, the number of the disk in the order of the command line of crosvm run, from 0; without, the path of an image.")
  static let diskSize = Positional(
    "SIZE", .size(.bytes, in: 512...UInt64(Int64.max)),
    "The new size in bytes, or with K, M, G or T: a multiple of 512, and of the block-size that the disk has in a machine.")
  static let diskSocket = Positional(
    "SOCKET", .path(), isRequired: false, "The control socket of the machine, as given to crosvm run --socket.")

  static let shrink = Flag("shrink", "Let the disk become smaller: what is behind its new end is lost.")

  static let disk = Command("disk", "change the disks of running machines, and examine images") {
    $0.subcommands = [
      Command("resize", "change the size of a disk of a running machine, or of an image that nobody uses") {
        $0.positionals = [diskIndex.description, diskSize.description, diskSocket.description]
        $0.groups = [
          OptionGroup(
            "Options", [shrink.description, ConvertCommand.sourceFormat.description, ConvertCommand.backing.description])
        ]
        $0.details = [
          "A smaller size needs --shrink, and a raw disk; a qcow2 image only grows. One with backing files needs --source-format qcow2"
            + " --backing, for what it gains must not show what they have there."
        ]
        $0.examples = [
          Command.Example("crosvm disk resize disk.qcow2 40G", "Make the disk of an image larger, which nobody uses meanwhile."),
          Command.Example("crosvm disk resize 0 40G vm.sock", "Make the first disk of a running machine larger."),
        ]
      },
      ImageCommands.information, ImageCommands.check, ImageCommands.repair, ConvertCommand.command, ImageCommands.map,
    ]
  }

  static let cardIndex = Positional(
    "CARD", .integer(0...31, "CARD"),
    "The number of the network card in the order of the command line of crosvm run, from 0; that of --host-ip comes last.")

  /// Whether a cable is plugged in.
  enum LinkState: String, CaseIterable {
    case up
    case down
  }

  static let linkState = Positional<LinkState>("STATE", .choice("STATE"), "Whether the card has a link: up or down.")

  static let net = Command("net", "change the network cards of running machines") {
    $0.subcommands = [
      Command("link", "plug in or pull the cable of a network card") {
        $0.positionals = [cardIndex.description, linkState.description, sockets.description]
        $0.details = ["The guest sees its link come or go, and so does the host at a tap; without a link no frame passes."]
        $0.examples = [Command.Example("crosvm net link 0 down vm.sock", "Pull the cable of the first network card.")]
      }
    ]
  }

  static let usbDevice = Positional(
    "BUS:ADDR:VID:PID",
    ValueType(ValueShape("BUS:ADDR:VID:PID", expected: "a USB device as in 1:4:18d1:4ee1")) { node throws(ValueError) in
      let text = try node.text(expected: "a USB device as in 1:4:18d1:4ee1")
      guard let name = ControlRequest.USBDeviceName(text) else {
        throw ValueError(
          "'\(text)' is no USB device", at: node.position, remedy: "give bus and address in decimal, vendor and product in hexadecimal")
      }
      return name
    }, "The device: its place on the host, and its vendor and product.")
  static let usbPath = Positional("DEVICE", .path(), "The device's file below /dev/bus/usb, or - to look it up.")
  static let usbPort = Positional("PORT", .integer(1...255), "The port of the guest's controller.")

  static let usb = Command("usb", "plug USB devices of the host into machines") {
    $0.subcommands = [
      Command("attach", "plug a device in") { $0.positionals = [usbDevice.description, usbPath.description, socket.description] },
      Command("detach", "unplug a device") { $0.positionals = [usbPort.description, socket.description] },
      Command("list", "list the devices that are plugged in") { $0.positionals = [sockets.description] },
    ]
  }

  static let list = Command("list", "list the machines that run for this user") {
    $0.details = [
      "A heading, and a line a machine: its process, its name, its memory in MiB, and its control socket; - for what it has not."
    ]
  }
}
