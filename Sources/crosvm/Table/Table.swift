import CommandLine

/// The commands and their options, from which parsing, help, manual pages, completions and the list of options are made.
enum Table {
  static let crosvm = Command("crosvm", "run virtual machines on Linux with KVM") {
    $0.details = [
      "crosvm starts an untrusted guest with virtual devices. The options below may be given before or after the name of a command."
    ]
    $0.groups = [
      OptionGroup(
        "Options of every command",
        [
          GlobalOptions.extendedStatus.description, GlobalOptions.logLevel.description, GlobalOptions.syslogTag.description,
          GlobalOptions.noSyslog.description, GlobalOptions.version.description,
        ])
    ]
    $0.subcommands = [run] + ControlCommands.all + [ImageCommands.createQcow2, version, help, completions, man, markdown]
    $0.unavailable = Table.unavailableCommands
    $0.exitStatuses = ExitStatus.descriptions
    $0.examples = [
      Command.Example(
        "crosvm run --rwroot root.ext4 bzImage", "Start a kernel with a writable root file system and a console in the terminal.")
    ]
  }

  static let run = Command("run", "start a virtual machine and wait until it ends") {
    $0.details = [
      "The guest's console is the terminal unless --serial says otherwise. Options may be given before and after KERNEL.",
      "Where a value has keys, the first may be left out, a key alone means true, and a value that contains a comma, a bracket or a quote is put in "
        + "double quotes, within which \\\" and \\\\ stand for a quote and a backslash.",
    ]
    $0.positionals = [RunOptions.kernel.description]
    $0.groups = [
      OptionGroup("What to start", [RunOptions.bios.description, RunOptions.initrd.description, RunOptions.params.description]),
      OptionGroup(
        "CPUs and memory", [RunOptions.cpus.description, RunOptions.cpuAffinity.description, RunOptions.mem.description]),
      OptionGroup(
        "Disks",
        [
          DiskOptions.block.description, DiskOptions.rootDisk.description, DiskOptions.rwroot.description,
          DiskOptions.disk.description, DiskOptions.rwdisk.description, DiskOptions.qcow.description, DiskOptions.rwqcow.description,
        ]),
      OptionGroup(
        "Persistent memory",
        [PmemOptions.pmem.description, PmemOptions.pmemDevice.description, PmemOptions.rwPmemDevice.description]),
      OptionGroup("Sockets between guest and host", [VsockOptions.vsock.description, VsockOptions.cid.description]),
      OptionGroup(
        "Network",
        [
          NetOptions.net.description, NetOptions.tapNameOption.description, NetOptions.tapFd.description, NetOptions.hostIP.description,
          NetOptions.netmask.description, NetOptions.mac.description, NetOptions.vhostNet.description,
        ]),
      OptionGroup("Serial ports", [SerialOption.serial.description]),
      OptionGroup("Control", [RunOptions.socket.description, RunOptions.name.description]),
      OptionGroup(
        "Platform",
        [
          RunOptions.irqchip.description, RunOptions.splitIrqchip.description, RunOptions.noRng.description,
          RunOptions.noBalloon.description, RunOptions.noI8042.description, RunOptions.noRTC.description,
          RunOptions.allowParavirtualKVM.description,
        ]),
      OptionGroup(
        "Sandbox",
        [
          RunOptions.disableSandbox.description, RunOptions.seccompPolicyDir.description, RunOptions.seccompLogFailures.description,
        ]),
    ]
    $0.rules = [
      .atLeastOne(["KERNEL", "--bios"]), .atMostOne(["KERNEL", "--bios"]), .atMostOne(["--initrd", "--bios"]),
      .atMostOne(["--params", "--bios"]), .atMostOne(["--cid", "--vsock"]), .atMostOne(["--irqchip", "--split-irqchip"]),
      .atMostOne(["--disable-sandbox", "--seccomp-policy-dir"]), .atMostOne(["--disable-sandbox", "--seccomp-log-failures"]),
    ]
    $0.unavailable = Table.unavailableRunOptions
    $0.exitStatuses = ExitStatus.descriptions
    $0.examples = [
      Command.Example("crosvm run -i initramfs.img -p quiet bzImage", "Start a kernel with an initial RAM file system."),
      Command.Example("crosvm run -c 4 -m 2G --root root.squashfs vmlinux", "Four CPUs, 2 GiB, and a read-only root file system."),
      Command.Example(
        "crosvm run --block data.img,direct,queues=4,id=data --rwroot root.ext4 bzImage",
        "A root file system on /dev/vdb, and a disk with four queues that bypasses the page cache."),
      Command.Example(
        "crosvm run --net tap-name=tap0,mac=02:00:00:00:00:01 --rwroot root.ext4 bzImage",
        "A network card in the network of the host's tap."),
      Command.Example(
        "crosvm run --serial type=file,path=boot.log,console --bios firmware.bin", "Start a firmware and write its console to a file."),
    ]
  }

  static let version = Command("version", "print the version of this program, or of those that run machines") {
    $0.positionals = [ControlCommands.askedSockets.description]
  }

  /// The commands that a user may ask about.
  static let commandNames =
    ["run"] + ControlCommands.all.map(\.name) + [ImageCommands.createQcow2.name, "version", "help", "completions", "man"]

  static let helpTopic = Positional(
    "COMMAND",
    ValueType(ValueShape("COMMAND", expected: "the name of a command", completion: .words(commandNames))) { node throws(ValueError) in
      try node.text(expected: "the name of a command")
    }, isRequired: false, isRepeatable: true, "The command to explain.")

  static let help = Command("help", "explain a command") {
    $0.positionals = [helpTopic.description]
  }

  static let shell = Positional("SHELL", ValueType<Shell>.choice("SHELL"), "The shell: bash, zsh or fish.")

  static let completions = Command("completions", "print completions for a shell") {
    $0.details = ["The shell reads them from its start-up file, or from a file in its directory of completions."]
    $0.positionals = [shell.description]
    $0.examples = [
      Command.Example("source <(crosvm completions bash)", "Complete in this shell."),
      Command.Example("crosvm completions fish > ~/.config/fish/completions/crosvm.fish", "Complete in every fish."),
    ]
  }

  static let man = Command("man", "print a manual page") {
    $0.details = ["The page is in the language of roff: man -l shows it."]
    $0.positionals = [helpTopic.description]
    $0.examples = [Command.Example("crosvm man run > crosvm-run.1", "Write the page of crosvm run to a file.")]
  }

  static let markdown = Command("markdown", "print all options as a Markdown page") {
    $0.isHidden = true
  }
}
