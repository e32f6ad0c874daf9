import CommandLine
import Machine
import VsockDevice

/// Makes the configuration that the arguments of `crosvm run` describe.
enum RunCommand {
  /// The configuration, as yet unchecked.
  ///
  /// - Parameter arguments: The options and arguments of `crosvm run`.
  /// - Throws: The first value that is wrong.
  static func configuration(of arguments: Arguments) throws(UsageError) -> VMConfiguration {
    var configuration = VMConfiguration(boot: try bootSource(arguments))
    if let count = try arguments.value(of: RunOptions.cpus) {
      configuration.cpus.count = count
    }
    configuration.cpus.affinity = try arguments.value(of: RunOptions.cpuAffinity)
    if let size = try arguments.value(of: RunOptions.mem) {
      configuration.memory.size = size
    }
    configuration.disks = try arguments.values(
      of: DiskOptions.block, DiskOptions.rootDisk, DiskOptions.rwroot, DiskOptions.disk, DiskOptions.rwdisk, DiskOptions.qcow,
      DiskOptions.rwqcow)
    configuration.persistentMemory = try arguments.values(of: PmemOptions.pmem, PmemOptions.pmemDevice, PmemOptions.rwPmemDevice)
    configuration.vsock = try arguments.value(of: VsockOptions.vsock)
    if let context = try arguments.value(of: VsockOptions.cid) {
      configuration.vsock = VsockConfiguration(context: VsockOptions.number(context))
    }
    configuration.networkCards = try networkCards(arguments)
    configuration.serialPorts = try arguments.values(of: SerialOption.serial)
    let isSplit = arguments.contains(RunOptions.splitIrqchip)
    configuration.interruptController = try arguments.value(of: RunOptions.irqchip) ?? (isSplit ? .split : .kernel)
    configuration.hasEntropyDevice = !arguments.contains(RunOptions.noRng)
    configuration.hasBalloon = !arguments.contains(RunOptions.noBalloon)
    configuration.hasI8042 = !arguments.contains(RunOptions.noI8042)
    configuration.hasRTC = !arguments.contains(RunOptions.noRTC)
    configuration.allowsParavirtualHost = arguments.contains(RunOptions.allowParavirtualKVM)
    configuration.controlSocket = try arguments.value(of: RunOptions.socket)
    configuration.name = try arguments.value(of: RunOptions.name)
    configuration.isSandboxed = !arguments.contains(RunOptions.disableSandbox)
    configuration.seccompPolicyDirectory = try arguments.value(of: RunOptions.seccompPolicyDir)
    configuration.logsSeccompFailures = arguments.contains(RunOptions.seccompLogFailures)
    return configuration
  }

  private static func bootSource(_ arguments: Arguments) throws(UsageError) -> BootSource {
    if let firmware = try arguments.value(of: RunOptions.bios) {
      return .firmware(path: firmware)
    }
    var kernel = KernelConfiguration(path: try arguments.value(of: RunOptions.kernel) ?? "")
    kernel.initramfs = try arguments.value(of: RunOptions.initrd)
    kernel.parameters = try arguments.values(of: RunOptions.params)
    return .kernel(kernel)
  }
}
