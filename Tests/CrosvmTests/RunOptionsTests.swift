import BasicDevices
import BlockDevice
import CommandLine
import Machine
import NetDevice
import Platform
import PlatformDevices
import Testing
import VsockDevice

@testable import crosvm

struct RunOptionsTests {
  private func configuration(_ words: String...) throws(UsageError) -> VMConfiguration {
    try configuration(words)
  }

  private func configuration(_ words: [String]) throws(UsageError) -> VMConfiguration {
    let invocation = try CommandParser.parse(["run"] + words, with: Table.crosvm)
    return try RunCommand.configuration(of: invocation.levels[1])
  }

  private func disk(_ path: String, _ change: (inout BlockConfiguration) -> Void = { _ in }) -> BlockConfiguration {
    var disk = BlockConfiguration(path: path)
    change(&disk)
    return disk
  }

  @Test func aKernelAloneGivesTheDefaults() throws {
    #expect(try configuration("k") == VMConfiguration(boot: .kernel(KernelConfiguration(path: "k"))))
    #expect(try configuration("--bios", "b") == VMConfiguration(boot: .firmware(path: "b")))
  }

  @Test func socketsBetweenGuestAndHost() throws {
    #expect(try configuration("--cid", "3", "k").vsock == VsockConfiguration(context: 3))
    #expect(try configuration("--vsock", "cid=4294967294", "k").vsock == VsockConfiguration(context: 4_294_967_294))
    #expect(try configuration("--vsock", "5,socket=/s", "k").vsock == VsockConfiguration(context: 5, backend: .socket(path: "/s")))
    #expect(try configuration("--vsock", "cid=5,device=/d", "k").vsock == VsockConfiguration(context: 5, backend: .kernel(path: "/d")))
    #expect(throws: UsageError.self) { try configuration("--vsock", "cid=5,socket=/s,device=/d", "k") }
    #expect(throws: UsageError.self) { try configuration("--cid", "2", "k") }
  }

  @Test func everyOptionReachesTheConfiguration() throws {
    let configuration = try configuration(
      "-i", "initrd", "-p", "quiet", "--params=a b", "-c4", "--cpu-affinity", "0,2-3", "-m", "512", "--irqchip", "split", "--no-rng",
      "--no-i8042", "--no-rtc", "--allow-paravirtual-kvm", "--disable-sandbox", "k")
    var expected = VMConfiguration(boot: .kernel(KernelConfiguration(path: "k", initramfs: "initrd", parameters: ["quiet", "a b"])))
    expected.cpus = CPUConfiguration(count: 4, affinity: .all([0, 2, 3]))
    expected.memory.size = 512 << 20
    expected.interruptController = .split
    expected.hasEntropyDevice = false
    expected.hasI8042 = false
    expected.hasRTC = false
    expected.allowsParavirtualHost = true
    expected.isSandboxed = false
    #expect(configuration == expected)
  }

  @Test func sizesAndCountsHaveTheirKeyForms() throws {
    #expect(try configuration("--cpus", "num-cores=2", "--mem=size=1G", "k").memory.size == 1 << 30)
    #expect(try configuration("--cpus", "num-cores=2", "k").cpus.count == 2)
    #expect(try configuration("--cpu-affinity", "0=0,1:1=2", "k").cpus.affinity == .each([0: [0, 1], 1: [2]]))
    #expect(try configuration("--split-irqchip", "k").interruptController == .split)
    #expect(try configuration("--irqchip", "kernel", "k").interruptController == .kernel)
  }

  @Test func networkCardsKeepTheirOrderAndThoseOfOlderOptionsComeLast() throws {
    let configuration = try configuration(
      "--host_ip", "10.0.0.1", "--netmask=255.255.255.0", "--mac", "02:00:00:00:00:05", "--tap-fd", "7", "k", "--vhost-net", "--tap-name",
      "tap1", "--net",
      "tap2,vq-pairs=4,packed-queue,mtu=9000,mac=02:00:00:00:00:06,bandwidth=1M,pps=1000", "--net", "host-ip=10.1.0.1,netmask=255.255.0.0",
      "--net", "tap-fd=8,vhost-net")
    let addresses = try ["10.0.0.1", "255.255.255.0", "10.1.0.1", "255.255.0.0"].map { try #require(IPv4Address($0)) }
    var full = NetConfiguration(.tap(name: "tap2"))
    (full.pairCount, full.usesPackedQueue, full.mtu, full.mac) = (4, true, 9000, MACAddress("02:00:00:00:00:06"))
    full.limits.bytes = RateLimits.Rate(perSecond: 1 << 20)
    full.limits.requests = RateLimits.Rate(perSecond: 1000)
    var last = NetConfiguration(.host(address: addresses[0], netmask: addresses[1]))
    last.mac = MACAddress("02:00:00:00:00:05")
    last.usesKernel = true
    var kernel = NetConfiguration(.descriptor(8))
    kernel.usesKernel = true
    #expect(
      configuration.networkCards == [
        NetConfiguration(.descriptor(7)), NetConfiguration(.tap(name: "tap1")), full,
        NetConfiguration(.host(address: addresses[2], netmask: addresses[3])), kernel, last,
      ])
  }

  @Test func disksKeepTheOrderOfTheCommandLine() throws {
    let configuration = try configuration(
      "--rwdisk", "a", "-r", "b", "k", "-d", "c,block-size=4096", "--block", "e,ro,direct,sparse=off,lock=false,id=x y", "--rwroot", "f",
      "--qcow", "g", "--rwqcow", "h")
    #expect(
      configuration.disks == [
        disk("a"),
        disk("b") {
          $0.isReadOnly = true
          $0.isRoot = true
        },
        disk("c") {
          $0.isReadOnly = true
          $0.blockSize = 4096
        },
        disk("e") {
          $0.isReadOnly = true
          $0.isDirect = true
          $0.isSparse = false
          $0.isLocked = false
          $0.id = "x y"
        },
        disk("f") { $0.isRoot = true }, disk("g") { $0.isReadOnly = true }, disk("h"),
      ])
  }

  @Test func blockTakesEveryKey() throws {
    let configuration = try configuration(
      "--block", "path=\"a,b\",ro=false,root,block_size=512,queues=16,queue-size=1024,packed-queue", "k")
    #expect(
      configuration.disks == [
        disk("a,b") {
          $0.isRoot = true
          $0.queueCount = 16
          $0.queueSize = 1024
          $0.usesPackedQueue = true
        }
      ])
  }

  @Test func persistentMemoryKeepsTheOrderOfTheCommandLine() throws {
    let configuration = try configuration(
      "--rw-pmem-device", "a", "--pmem", "b,ro,root", "k", "--pmem-device", "c,lock=false", "--pmem=path=d")
    var unlocked = PmemConfiguration(path: "c", isReadOnly: true)
    unlocked.isLocked = false
    #expect(
      configuration.persistentMemory == [
        PmemConfiguration(path: "a"), PmemConfiguration(path: "b", isReadOnly: true, isRoot: true), unlocked, PmemConfiguration(path: "d"),
      ])
  }

  @Test func serialPorts() throws {
    let configuration = try configuration(
      "--serial", "stdout,console,stdin,earlycon", "--serial=type=file,path=log,num=2", "--serial", "hardware=virtio-console,type=syslog",
      "--serial", "unix,path=/s,num=4", "--serial", "num=3", "k")
    #expect(
      configuration.serialPorts == [
        SerialConfiguration(backend: .standardOutput, isConsole: true, isEarlyConsole: true, readsStandardInput: true),
        SerialConfiguration(backend: .file(path: "log"), number: 2), SerialConfiguration(backend: .syslog, hardware: .virtioConsole),
        SerialConfiguration(backend: .unixSocket(path: "/s"), number: 4), SerialConfiguration(number: 3),
      ])
  }

  @Test(
    arguments: [
      ([], "there is no KERNEL and no --bios; give one of them"),
      (["k", "--bios", "b"], "KERNEL and --bios exclude each other; give one of them"),
      (["--bios", "b", "-i", "i"], "--initrd and --bios exclude each other; give one of them"),
      (["--bios", "b", "-p", "quiet"], "--params and --bios exclude each other; give one of them"),
      (["k", "--split-irqchip", "--irqchip=kernel"], "--irqchip and --split-irqchip exclude each other; give one of them"),
      (["k", "-c", "0"], "--cpus: \"0\" is out of range; give a whole number from 1 to 32"),
      (["k", "-c", "33"], "--cpus: \"33\" is out of range; give a whole number from 1 to 32"),
      (["k", "-c", "two"], "--cpus: \"two\" is not a whole number; give a whole number from 1 to 32"),
      (["k", "-c", "1", "--cpus=2"], "--cpus is given twice, the second time with \"2\"; give it once"),
      (
        ["k", "-c", "1,clusters=[[0]]"],
        "--cpus \"1,clusters=[[0]]\": the key \"clusters\" is not available in this build, at character 3; drop it"
      ),
      (["k", "--pmem", "ro=true"], "--pmem: there is no path; give path=PATH"),
      (
        ["k", "--pmem", "a,vma-size=1"],
        "--pmem \"a,vma-size=1\": the key \"vma-size\" is not available in this build, at character 3; drop it"
      ),
      (["k", "-m", "0"], "--mem: \"0\" is out of range; give a whole number of MiB, or one with K, M, G or T, from 16M to 4T"),
      (["k", "-m", "18446744073709551615"], "--mem: \"18446744073709551615\" is out of range; give"),
      (["k", "-m", "18446744073709551616"], "--mem: \"18446744073709551616\" is out of range; give"),
      (["k", "-m", "4194305"], "--mem: \"4194305\" is out of range; give"),
      (["k", "-m", "lots"], "--mem: \"lots\" is not a size; give"),
      (["k", "-m"], "-m has no value; give -m SIZE"),
      (["k", "--cpu-affinity", "3-1"], "--cpu-affinity: the range 3-1 is reversed; give 1-3"),
      (["k", "--cpu-affinity", "0=1:0=2"], "--cpu-affinity \"0=1:0=2\": there are two sets for 0, at character 5; join them with a comma"),
      (["k", "--irqchip", "userspace"], "--irqchip: \"userspace\" is not possible; give kernel or split"),
      (["k", "--rwdisk", ""], "--rwdisk: the value is empty; give one"),
      (
        ["k", "--rwdisk", "a,iops-burst=5"],
        "--rwdisk \"a,iops-burst=5\": a burst means nothing without its limit, at character 14; give iops, too"
      ),
      (
        ["k", "--rwdisk", "a,ro"],
        "--rwdisk \"a,ro\": \"ro\" is not a known key, at character 3; known are path, format, backing, ephemeral"
      ),
      (["k", "-b", "a,queues=17"], "--block \"a,queues=17\": \"17\" is out of range, at character 10; give a whole number from 1 to 16"),
      (
        ["k", "-r", "a,ephemeral"], "--root \"a,ephemeral\": what is only read needs no temporary file, at character 3; leave ephemeral out"
      ),
      (
        ["k", "-b", "a,ro,ephemeral"],
        "--block \"a,ro,ephemeral\": what is only read needs no temporary file, at character 6; give ro or ephemeral"
      ),
      (
        ["k", "-b", "a,backing"],
        "--block \"a,backing\": backing files are read only where the format is named, at character 3; give format=qcow2"
      ),
      (["k", "-b", "a,queue-size=3"], "--block \"a,queue-size=3\": \"3\" is not possible, at character 14; give 4, 8, 16"),
      (["k", "-b", "a,block-size=513"], "--block \"a,block-size=513\": \"513\" is not possible, at character 14; give 512 or 4096"),
      (["k", "-b", "a,id=123456789012345678901"], "is not possible, at character 6; give 1 to 20 printable ASCII characters"),
      (
        ["k", "-b", "a,cache-size=1023K"],
        "--block \"a,cache-size=1023K\": \"1023K\" is out of range, at character 14; give a whole number of bytes, or one with K, M, G or T, from 1M to 4G"
      ),
      (["k", "--rwdisk", "a,cache-size=5G"], "--rwdisk \"a,cache-size=5G\": \"5G\" is out of range, at character 14; give"),
      (["k", "-b", "a,bootindex=1"], "the key \"bootindex\" is not available in this build, at character 3; drop it"),
      (["k", "-b", "ro=true"], "--block: there is no path; give path=PATH"),
      (["k", "--serial", "tty"], "--serial: \"tty\" is not possible; give stdout, syslog, sink, file or unix"),
      (["k", "--serial", "num=5"], "--serial \"num=5\": \"5\" is out of range, at character 5; give a whole number from 1 to 4"),
      (["k", "--serial", "file"], "--serial: a port of type file needs a path; give path=PATH"),
      (["k", "--serial", "stdout,path=x"], "a port of type stdout has no path, at character 13; drop path or give type=file"),
      (
        ["k", "--serial", "hardware=virtio-console,earlycon"],
        "earlycon needs a 16550, at character 25; give hardware=serial or drop earlycon"
      ),
      (["k", "--net", "vq-pairs=2"], "--net: the card has no network; give one of user, tap-name, tap-fd and host-ip"),
      (["k", "--net", "tap0,tap-fd=3"], "--net: the card has several networks; give one of user, tap-name, tap-fd and host-ip"),
      (
        ["k", "--net", "host-ip=1.2.3.4"], "--net \"host-ip=1.2.3.4\": host-ip needs a netmask, at character 9; give netmask=255.255.255.0"
      ),
      (["k", "--net", "tap0,netmask=255.0.0.0"], "a netmask means nothing without host-ip, at character 14; give host-ip, too"),
      (["k", "--net", "tap0,netmask=255.0.0.1"], "\"255.0.0.1\" is not possible, at character 14; give a netmask in the form x.x.x.x"),
      (["k", "--net", "a/b"], "--net: \"a/b\" is not possible; give the name of a tap"),
      (["k", "--net", "tap-fd=2"], "\"2\" is out of range, at character 8; give a whole number from 3"),
      (["k", "--net", "tap0,vq-pairs=17"], "\"17\" is out of range, at character 15; give a whole number from 1 to 16"),
      (["k", "--net", "tap0,mtu=67"], "\"67\" is out of range, at character 10; give a whole number from 68 to 65535"),
      (["k", "--net", "tap0,mac=01:00:00:00:00:00"], "give a MAC address of one card in the form XX:XX:XX:XX:XX:XX"),
      (["k", "--net", "tap0,pci-address=1"], "the key \"pci-address\" is not available in this build, at character 6; drop it"),
      (["k", "--tap-fd", "x"], "--tap-fd: \"x\" is not a whole number; give a whole number from 3"),
      (["k", "--host-ip", "10.0.0"], "--host-ip: \"10.0.0\" is not possible; give an IPv4 address in the form x.x.x.x"),
      (["k", "--host-ip", "10.0.0.1"], "--host-ip needs a netmask; give --netmask, too"),
      (["k", "--netmask", "255.0.0.0"], "--netmask means nothing without --host-ip; give that, too, or use --net"),
      (["k", "--mac", "02:00:00:00:00:01"], "--mac means nothing without --host-ip; give that, too, or use --net"),
      (["k", "--vhost-net"], "--vhost-net means nothing without --host-ip; give that, too, or use --net"),
      (["k", "--shared_dir=/:x"], "--shared_dir is not available in this build: it has no shared directories"),
      (["k", "--gdb", "1"], "--gdb is not available in this build: it has no debugger interface"),
      (["k", "l"], "\"l\" is one argument too many; the last is KERNEL, and options begin with --"),
    ] as [([String], String)])
  func mistakesGetOneLine(words: [String], expected: String) {
    do {
      _ = try configuration(words)
      Issue.record("accepted")
    } catch {
      let line = "\(error)"
      #expect(line.hasPrefix("crosvm run: ") && line.contains(expected) && !line.contains("\n"), "\(line)")
    }
  }

  @Test func aSocketPathThatDoesNotFitIsRefused() {
    #expect(throws: UsageError.self) { try configuration("k", "--serial", "unix,path=" + String(repeating: "x", count: 108)) }
  }
}
