extension Machine {
  /// What the user should know about this host before a kernel starts; `nil` where all is well.
  ///
  /// KVM can be there without hardware virtualization (para-virtual KVM, in some cloud machines): it runs small programs, and a stock kernel
  /// gets far into its boot and then fails. Firmware images are not warned about: small ones run.
  public static func hostNotice(for configuration: VMConfiguration) -> String? {
    guard case .kernel = configuration.boot, !HostProcessor.hasVirtualization() else { return nil }
    return
      "this host has no hardware virtualization (no svm or vmx in /proc/cpuinfo), only a para-virtual KVM on which a stock kernel does not"
      + " boot; run it in the software host instead: tools/lab -- crosvm run ..."
  }
}
