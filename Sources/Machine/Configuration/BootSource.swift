/// What the first virtual CPU starts.
public enum BootSource: Sendable, Equatable {
  /// A Linux kernel, entered directly.
  case kernel(KernelConfiguration)
  /// A firmware image, entered at the reset vector.
  case firmware(path: String)

  func validate() throws(ConfigurationError) {
    switch self {
    case .kernel(let kernel):
      try PathCheck.readableFile(kernel.path, as: .kernel)
      if let initramfs = kernel.initramfs {
        try PathCheck.readableFile(initramfs, as: .initramfs)
      }
      for parameter in kernel.parameters where parameter.utf8.contains(0) || parameter.utf8.contains(UInt8(ascii: "\n")) {
        throw .kernelParameters(parameter)
      }
    case .firmware(let path):
      try PathCheck.readableFile(path, as: .firmware)
    }
  }
}

/// A Linux kernel and what it is started with.
public struct KernelConfiguration: Sendable, Equatable {
  /// The kernel on the host: a bzImage or an ELF vmlinux.
  public var path: String

  /// The initial RAM file system on the host, `nil` for none.
  public var initramfs: String?

  /// Words for the kernel's command line, after those that the machine needs.
  ///
  /// Each element may hold several words.
  public var parameters: [String]

  /// Makes the configuration of a kernel.
  ///
  /// - Parameters:
  ///   - path: The kernel on the host.
  ///   - initramfs: The initial RAM file system on the host.
  ///   - parameters: Words for the kernel's command line.
  public init(path: String, initramfs: String? = nil, parameters: [String] = []) {
    self.path = path
    self.initramfs = initramfs
    self.parameters = parameters
  }
}
