import CommandLine
import Machine

/// The options of `crosvm run` but those of devices.
enum RunOptions {
  // MARK: What to start

  static let kernel = Positional("KERNEL", .path(), isRequired: false, "The Linux kernel to start: a bzImage or an ELF vmlinux.")

  static let bios = Option("bios", .path(), "Start this firmware image at the reset vector instead of a kernel.")

  static let initrd = Option("initrd", short: "i", .path(), "Give the kernel this initial RAM file system.")

  static let params = Option(
    "params", short: "p", .text("PARAMS"), isRepeatable: true,
    "Add these words to the kernel's command line, after those that the machine needs.")

  // MARK: CPUs and memory

  private static let coreCount = Field(
    "num-cores", .integer(CPUConfiguration.counts), isRequired: true, "Number of virtual CPUs.")

  private static let cpuFields = FieldTable(
    [coreCount.description], unavailable: ["clusters", "core-types", "boot-cpu", "freq-domains", "sve", "mte"])

  static let cpus = Option(
    "cpus", short: "c",
    ValueType.fields(cpuFields) { fields throws(ValueError) in try fields.require(coreCount) }.named("N").withoutExplanation,
    default: "1",
    "Number of virtual CPUs, from \(CPUConfiguration.counts.lowerBound) to \(CPUConfiguration.counts.upperBound); also written num-cores=N."
  )

  static let cpuAffinity = Option(
    "cpu-affinity", ValueType<CPUAffinity>.affinity, default: "any CPU",
    "Let the virtual CPUs run on these CPUs of the host only: 0,2-3 for all of them, or 0=0,1:1=2,3 for each by its number.")

  private static let memorySize = Field(
    "size", .size(.mebibytes, in: MemoryConfiguration.sizes), isRequired: true, "Size in MiB, or with K, M, G or T.")

  static let mem = Option(
    "mem", short: "m",
    ValueType.fields(FieldTable([memorySize.description])) { fields throws(ValueError) in try fields.require(memorySize) }.named("SIZE")
      .withoutExplanation,
    default: "256", "Size of the guest's memory in MiB, or with a unit as in 2G; also written size=SIZE.")

  // MARK: Control

  static let socket = Option(
    "socket", short: "s", .path(),
    "Make a control socket here, for crosvm stop and the other commands that take a SOCKET. In a directory it is called crosvm-PID.sock.")

  static let name = Option(
    "name", .word("NAME", expected: "a word"), "Call the machine so in crosvm list: at most 64 printable characters without spaces.")

  // MARK: Platform

  static let irqchip = Option(
    "irqchip", ValueType<InterruptControllerMode>.choice("WHERE"), default: "kernel",
    "Where the interrupt controllers are emulated: all in the kernel, or split, with only the local APICs there.")

  static let splitIrqchip = Flag("split-irqchip", "The same as --irqchip split.")

  static let noRng = Flag("no-rng", "Leave out the virtio entropy device.")

  static let noBalloon = Flag("no-balloon", "Leave out the virtio memory balloon.")

  static let noI8042 = Flag("no-i8042", "Leave out the keyboard controller, through which a PC can be reset.")

  static let noRTC = Flag("no-rtc", "Leave out the real-time clock.")

  static let allowParavirtualKVM = Flag(
    "allow-paravirtual-kvm", "Start KERNEL also on a host without hardware virtualization, where only kernels run that were built for it.")

  // MARK: Sandbox

  static let disableSandbox = Flag(
    "disable-sandbox",
    "Run all devices in one process, with all that this user may do. For hosts that refuse namespaces, and for debugging.")

  static let seccompPolicyDir = Option(
    "seccomp-policy-dir", .path(),
    "Read the policies of allowed system calls from this directory, not from the program: DEVICE.policy (block, rng, net and so on), main.policy, vcpu.policy, connector.policy."
  )

  static let seccompLogFailures = Flag(
    "seccomp-log-failures", "Let system calls that a policy forbids happen, and have the kernel log them (dmesg, or the audit log).")
}

extension ValueType where Value == CPUAffinity {
  /// One set for all, or one for each.
  fileprivate static var affinity: ValueType {
    let all = ValueType<Set<Int>>.numberSet(CPUConfiguration.hostCPUs, "CPUS")
    let each = ValueType<[Int: Set<Int>]>.numberSets(0...CPUConfiguration.counts.upperBound - 1, CPUConfiguration.hostCPUs, "CPUS")
    let expected = "CPUs as in 0,2-3, or for each virtual CPU as in 0=0,1:1=2,3"
    return ValueType(ValueShape("CPUS", expected: expected)) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      return text.contains("=") ? .each(try each.value(of: text)) : .all(try all.value(of: text))
    }
  }
}
