// swift-tools-version: 6.2
import PackageDescription

/// Set by the test suite: warnings in this package, not those in its dependencies, are errors.
let isStrict = Context.environment["CROSVM_STRICT"] == "1"

/// Set by tools/fuzz: the package then has the fuzzers, and the command as a library that they call.
let isFuzzing = Context.environment["CROSVM_FUZZ"] == "1"

/// Settings that every Swift target of this package builds with.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .treatAllWarnings(as: isStrict ? .error : .warning),
]

/// A module and its floor: `sees` lists the modules of lower floors that it may import.
func module(_ name: String, sees: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: sees, swiftSettings: settings)
}

/// The tests of a module.
func tests(_ name: String, of sees: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: sees, swiftSettings: settings)
}

let log = Target.Dependency.product(name: "Logging", package: "swift-log")

/// The command, in Sources/crosvm.
func command(sees: [Target.Dependency]) -> Target {
  isFuzzing
    ? .target(name: "crosvm", dependencies: sees, exclude: ["main.swift"], swiftSettings: settings)
    : .executableTarget(name: "crosvm", dependencies: sees, swiftSettings: settings)
}

/// One program with all fuzzers, which tools/fuzz builds with libFuzzer.
let fuzzers = Target.executableTarget(
  name: "fuzzers",
  dependencies: [
    "BlockDevice", "BlockTesting", "Boot", "CommandLine", "CommandLineTesting", "ControlTesting", "DiskImageTesting", "Machine",
    "NetTesting", "PlatformDevices", "SandboxTesting", "SeccompTesting", "VirtioTesting", "VsockTesting", "crosvm",
  ],
  path: "Fuzz", swiftSettings: settings)

let package = Package(
  name: "crosvm",
  products: [.library(name: "Machine", targets: ["Machine"])]
    + (isFuzzing
      ? []
      : [
        .executable(name: "crosvm", targets: ["crosvm"]), .executable(name: "qcow_img", targets: ["qcow_img"]),
        .library(name: "qcow_utils", type: .dynamic, targets: ["QcowUtils"]),
      ]),
  dependencies: [
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2")
  ],
  targets: [
    // Floor 0: shims for what Swift cannot say.
    .target(name: "CLinux"),
    .systemLibrary(name: "CSeccomp", path: "Sources/CSeccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),
    .systemLibrary(name: "CZlib", path: "Sources/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CZstd", path: "Sources/CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    // Floor 1: the operating system, typed.
    module("Platform", sees: ["CLinux"]),
    // Floor 2: guest memory and the kernel's virtual machine interface.
    module("GuestMemory", sees: ["CLinux", "Platform"]),
    module("KVM", sees: ["CLinux", "Platform"]),
    module("Seccomp", sees: ["CLinux", "CSeccomp", "Platform"]),
    // Floor 3: how accesses and interrupts find their way.
    module("Bus", sees: []),
    module("Interrupts", sees: ["Platform"]),
    module("PCI", sees: ["Bus", "Interrupts", "Platform", log]),
    // Floor 4: virtio, and engines that know nothing of a guest.
    module("Virtio", sees: ["Bus", "GuestMemory", "Interrupts", "PCI", "Platform", log]),
    module("Vhost", sees: ["CLinux", "GuestMemory", "Platform", "Virtio"]),
    module("DiskImage", sees: ["CLinux", "CZlib", "CZstd", "Platform"]),
    module("CommandLine", sees: []),
    // Floor 5: device families.
    module("BlockDevice", sees: ["DiskImage", "GuestMemory", "Platform", "Virtio", log]),
    module("NetDevice", sees: ["CLinux", "GuestMemory", "Platform", "Vhost", "Virtio", log]),
    module("BasicDevices", sees: ["DiskImage", "GuestMemory", "Platform", "Virtio", log]),
    module("VsockDevice", sees: ["CLinux", "GuestMemory", "Platform", "Vhost", "Virtio", log]),
    module("PlatformDevices", sees: ["Bus", "Interrupts", "Platform", log]),
    // Floor 6: what a kernel needs to start.
    module("Boot", sees: ["GuestMemory", "Platform"]),
    module("Control", sees: ["CLinux", "Platform", log]),
    module(
      "Sandbox", sees: ["Bus", "CLinux", "GuestMemory", "Interrupts", "PCI", "Platform", "Seccomp", "Virtio", log]),
    // Floor 7: a configuration becomes a running machine.
    module(
      "Machine",
      sees: [
        "BasicDevices", "BlockDevice", "Boot", "Bus", "CLinux", "Control", "DiskImage", "GuestMemory", "Interrupts", "KVM", "NetDevice",
        "PCI", "Platform", "PlatformDevices", "Sandbox", "Virtio", "VsockDevice", log,
      ]),
    // Floor 8: the command.
    command(
      sees: [
        "CommandLine", "Control", "DiskImage", "Machine", "BlockDevice", "NetDevice", "PlatformDevices", "BasicDevices", "Platform",
        "Sandbox", "VsockDevice", log,
      ]),
    tests("BootTests", of: ["Boot", "GuestMemory", "Platform"]),
    // The guest's side of virtio, in memory: for tests and fuzzers.
    module("VirtioTesting", sees: ["Bus", "GuestMemory", "Interrupts", "PCI", "Platform", "Virtio", log]),
    tests("VirtioTests", of: ["GuestMemory", "Platform", "Virtio", "VirtioTesting"]),
    module("CommandLineTesting", sees: ["CommandLine"]),
    tests("CommandLineTests", of: ["CommandLine", "CommandLineTesting"]),
    module("ControlTesting", sees: ["Control"]),
    tests("ControlTests", of: ["CLinux", "Control", "ControlTesting", "Platform", log]),
    tests("PlatformTests", of: ["CLinux", "Platform"]),
    tests("BasicDevicesTests", of: ["BasicDevices", "DiskImage", "GuestMemory", "Platform", "Virtio", "VirtioTesting", log]),
    tests("GuestMemoryTests", of: ["GuestMemory", "Platform"]),
    tests("KVMTests", of: ["CLinux", "GuestMemory", "KVM", "Platform"]),
    tests("VhostTests", of: ["CLinux", "GuestMemory", "Platform", "Vhost"]),
    module("SeccompTesting", sees: ["Seccomp"]),
    tests("SeccompTests", of: ["CLinux", "Platform", "Seccomp", "SeccompTesting"]),
    module("SandboxTesting", sees: ["Bus", "Interrupts", "PCI", "Platform", "Sandbox", "VirtioTesting", log]),
    tests(
      "SandboxTests",
      of: [
        "BasicDevices", "BlockDevice", "Bus", "CLinux", "GuestMemory", "Interrupts", "NetDevice", "PCI", "Platform", "Sandbox",
        "SandboxTesting",
        "Virtio", "VirtioTesting", log,
      ]),
    tests("BusTests", of: ["Bus", "Platform"]),
    tests("PlatformDevicesTests", of: ["PlatformDevices", "Bus", "Interrupts", "Platform"]),
    module("BlockTesting", sees: ["BlockDevice", "GuestMemory", "Platform", "Virtio", "VirtioTesting"]),
    tests(
      "BlockDeviceTests",
      of: ["BlockDevice", "BlockTesting", "DiskImage", "GuestMemory", "Platform", "Virtio", "VirtioTesting"]),
    module("VsockTesting", sees: ["CLinux", "GuestMemory", "Platform", "Virtio", "VirtioTesting", "VsockDevice", log]),
    tests(
      "VsockDeviceTests", of: ["CLinux", "GuestMemory", "Platform", "Vhost", "Virtio", "VirtioTesting", "VsockDevice", "VsockTesting", log]),
    // A network in memory, and what is fuzzed.
    module("NetTesting", sees: ["GuestMemory", "NetDevice", "Platform", "Virtio", "VirtioTesting"]),
    tests("NetDeviceTests", of: ["CLinux", "GuestMemory", "NetDevice", "NetTesting", "Platform", "Virtio", "VirtioTesting", log]),
    // Images made by hand or in memory, whose file can fail, and what is fuzzed.
    module("DiskImageTesting", sees: ["CLinux", "DiskImage", "Platform"]),
    tests("DiskImageTests", of: ["CLinux", "DiskImage", "DiskImageTesting", "Platform", "QcowUtils"]),
    tests(
      "CrosvmTests",
      of: [
        "crosvm", "CommandLine", "DiskImage", "Machine", "BasicDevices", "BlockDevice", "NetDevice", "Platform", "PlatformDevices",
        "VsockDevice", log,
      ]),
    // Tools for disk images: the original's qcow_img, and its functions for programs in C.
    .executableTarget(name: "qcow_img", dependencies: ["DiskImage", "Platform"], swiftSettings: settings),
    .target(name: "QcowUtils", dependencies: ["DiskImage", "Platform"], exclude: ["include"], swiftSettings: settings),
    // The engine of disk images alone, for tools/bench.
    .executableTarget(name: "image-bench", dependencies: ["DiskImage", "Platform"], path: "Tests/ImageBench", swiftSettings: settings),
    // A device that tries to break out.
    .executableTarget(
      name: "hostile-device", dependencies: ["CLinux", "GuestMemory", "Interrupts", "PCI", "Platform", "Sandbox", "Virtio", log],
      path: "Tests/HostileDevice", swiftSettings: settings),
    // The executable as a whole, started as a user does.
    tests("UsageTests", of: ["CLinux", "crosvm", "hostile-device", "image-bench", "qcow_img"]),
    tests(
      "ConfigurationTests",
      of: ["DiskImage", "Machine", "Platform", "BasicDevices", "BlockDevice", "NetDevice", "PlatformDevices", "VsockDevice"]),
    tests("MachineTests", of: ["Machine", "BasicDevices", "Boot", "Bus", "CLinux", "GuestMemory", "KVM", "Platform", log]),
    tests("PCITests", of: ["PCI", "Bus", "Interrupts", "Platform"]),
    tests("VirtioPCITests", of: ["Virtio", "VirtioTesting", "PCI", "Bus", "GuestMemory", "Interrupts", "Platform", log]),
    // Guest tests: a program that runs in the software KVM host and boots stock kernels.
    .executableTarget(
      name: "guest-tests", dependencies: ["CLinux", "Platform", "Seccomp"], path: "Tests/GuestTests", exclude: ["Golden"],
      swiftSettings: settings),
  ] + (isFuzzing ? [fuzzers] : [])
)
