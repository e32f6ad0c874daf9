import CommandLine

extension Table {
  /// Commands of crosvm for which nothing is built in yet.
  static let unavailableCommands = [
    Command.Unavailable(
      "its machines cannot do that", "balloon-ws", "sleepbtn", "gpe", "make-rt", "swap", "snapshot", "battery"),
    Command.Unavailable("it makes qcow2 images only", "create-composite"),
    Command.Unavailable("it has no such devices", "gpu", "snd", "vfio", "virtio-net"),
    Command.Unavailable("it has no vhost-user devices", "device", "devices"),
  ]

  /// Options of `crosvm run` for which nothing is built in yet.
  static let unavailableRunOptions = [
    Command.Unavailable("its network cards have no such settings", "--net-vq-pairs", "--vhost-net-device"),
    Command.Unavailable("the kernel's vsock device is named by --vsock cid=N,device=PATH", "--vhost-vsock-device", "--vhost-vsock-fd"),
    Command.Unavailable("it has no shared directories", "--shared-dir"),
    Command.Unavailable("it has no sound devices", "--cras-audio", "--cras-capture", "--null-audio", "--ac97", "--virtio-snd"),
    Command.Unavailable(
      "it has no graphics devices", "--gpu", "--gpu-display", "--gpu-render-server", "--wayland-sock", "--wayland-dmabuf"),
    Command.Unavailable(
      "it has no input devices", "--input", "--evdev", "--single-touch", "--multi-touch", "--trackpad", "--mouse", "--keyboard",
      "--switches",
      "--rotary"),
    Command.Unavailable("it has no TPM", "--software-tpm", "--vtpm-proxy"),
    Command.Unavailable("it has no USB controller", "--no-usb"),
    Command.Unavailable("its balloon has no such settings", "--balloon-control", "--balloon-bias-mib", "--balloon-page-reporting"),
    Command.Unavailable("it makes no file systems", "--pmem-ext2"),
    Command.Unavailable("it has no such memory devices", "--pstore", "--pflash"),
    Command.Unavailable("it has no SCSI devices", "--scsi-block"),
    Command.Unavailable("it has no VFIO devices", "--vfio", "--vfio-platform"),
    Command.Unavailable("it has no vhost-user devices", "--vhost-user", "--vhost-user-connect-timeout-ms"),
    Command.Unavailable("its sandbox needs no directory of the host", "--pivot-root"),
    Command.Unavailable("it has no plug-ins", "--plugin", "--plugin-root", "--plugin-mount", "--plugin-gid-map"),
    Command.Unavailable("it has no debugger interface", "--gdb"),
    Command.Unavailable("it has no snapshots", "--restore", "--suspended", "--suspended-vcpus"),
    Command.Unavailable(
      "it runs no protected machines", "--protected-vm", "--protected-vm-with-firmware", "--protected-vm-without-firmware",
      "--unprotected-vm-with-firmware", "--swiotlb"),
    Command.Unavailable("it has no Android boot", "--android-fstab"),
    Command.Unavailable("it has no configuration files", "--cfg"),
    Command.Unavailable(
      "its memory has one kind only", "--hugepages", "--lock-guest-memory", "--unmap-guest-memory-on-fork", "--file-backed-mapping",
      "--swap",
      "--init-mem"),
    Command.Unavailable(
      "its CPUs have no such settings", "--cpu-capacity", "--cpu-cluster", "--cpu-frequencies-khz", "--rt-cpus", "--delay-rt",
      "--core-scheduling", "--per-vm-core-scheduling", "--no-smt", "--host-cpu-topology", "--enable-hwp", "--itmt", "--virt-cpufreq",
      "--vcpu-cgroup-path", "--no-pmu"),
    Command.Unavailable(
      "its platform has no such settings", "--acpi-table", "--device-tree-overlay", "--dump-device-tree-blob", "--hypervisor", "--nested",
      "--pci", "--pci-hotplug-slots", "--smbios", "--s2idle", "--enable-fw-cfg", "--fw-cfg", "--stub-pci-device", "--battery",
      "--force-calibrated-tsc-leaf", "--bus-lock-ratelimit", "--mmio-address-range", "--disable-virtio-intx", "--pvclock",
      "--async-executor"),
  ]
}
