import Glibc

/// What a run of crosvm left behind.
struct GuestRun {
  let command: [String]
  /// The exit status, 128 plus the number of the signal that ended it, or `nil` when it was still running after its time.
  let status: Int32?
  /// What came on standard output: the guest's console.
  let output: String
  /// What came on standard error: crosvm's own words.
  let errors: String

  /// The status of the guest's script, from the line `GUEST-EXIT n`.
  var scriptStatus: Int? {
    lines.last { $0.hasPrefix("GUEST-EXIT ") }.flatMap { Int($0.dropFirst("GUEST-EXIT ".count)) }
  }

  /// The console's lines, without carriage returns.
  var lines: [Substring] { output.split(whereSeparator: \.isNewline) }

  /// The value of the line `NAME=value` that a script printed.
  func value(_ name: String) -> String? {
    lines.last { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
  }
}

/// A guest to boot: the machine's options, and what the guest does.
struct Guest {
  enum Kernel {
    case bzImage
    case elf
  }

  var kernel = Kernel.bzImage
  /// Whether to hand the initramfs over; it holds the virtio modules, which stock kernels do not have built in.
  var initramfs = true
  /// Options of `crosvm run`.
  var options: [String] = []
  /// Options before the subcommand.
  var globalOptions: [String] = []
  /// Words for the kernel's command line.
  var parameters: [String] = []
  /// A shell script for the guest; without one the guest reads its console.
  var script: String?
  /// What the guest reads on its console.
  var input = ""
  /// How many seconds it may take.
  var seconds = 400

  func run(_ environment: TestEnvironment) throws -> GuestRun {
    var words = parameters
    if let script { words.append("guest.exec=" + base64(Array(script.utf8))) }
    var command = [environment.crosvm] + globalOptions + ["run", "--disable-sandbox"] + options
    if initramfs { command += ["-i", environment.file("initramfs.img")] }
    // No serial noise: what the tests look for must not drown, and each byte costs an exit.
    command += ["-p", (["quiet"] + words).joined(separator: " ")]
    command.append(environment.file(kernel == .bzImage ? "vmlinuz" : "vmlinux"))
    return try Child.run(command, input: input, seconds: seconds, directory: environment.scratch)
  }
}

/// Encodes bytes as RFC 4648 does.
func base64(_ bytes: [UInt8]) -> String {
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  var text = ""
  for start in stride(from: 0, to: bytes.count, by: 3) {
    let group = bytes[start..<min(start + 3, bytes.count)]
    let value = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
    for index in 0..<4 {
      text.append(index <= group.count ? alphabet[value >> (18 - 6 * index) & 63] : "=")
    }
  }
  return text
}
