internal import KVM

/// Why a machine could not be made or started.
public enum MachineError: Error, Equatable, Sendable, CustomStringConvertible {
  /// More interrupt vectors are in use than the kernel has routes.
  case tooManyInterrupts(limit: Int)
  /// The kernel cannot make that many processors.
  case tooManyProcessors(requested: Int, limit: Int)
  /// The host has no hardware virtualization, and a kernel is to be started that was not said to do without.
  case paravirtualHost
  /// What is behind a serial port cannot be opened.
  case serialOutput(port: String, String)
  /// This host does not give that many bytes for the guest's memory.
  case noMemory(bytes: UInt64, reason: String)
  /// Something that must exist for the machine does not work; what and why in words.
  case cannotStart(String)

  /// The failure in words, with the values and, where there is one, the remedy.
  public var description: String {
    switch self {
    case .tooManyInterrupts(let limit): "the machine needs more than \(limit) interrupt routes: use fewer devices or queues"
    case .tooManyProcessors(let requested, let limit): "\(requested) processors were asked for, and this host's KVM makes at most \(limit)"
    case .paravirtualHost:
      "this host has no hardware virtualization (no svm or vmx in /proc/cpuinfo), only a para-virtual KVM on which a stock kernel does not"
        + " boot; run it in the software host (tools/lab -- crosvm run ...), or add --allow-paravirtual-kvm if the kernel was built for it"
    case .serialOutput(let port, let reason): "serial port \(port): \(reason)"
    case .noMemory(let bytes, let reason):
      "this host does not give \(bytes >> 20) MiB for the guest's memory: \(reason); give the guest less with --mem, or free some"
    case .cannotStart(let reason): reason
    }
  }
}
