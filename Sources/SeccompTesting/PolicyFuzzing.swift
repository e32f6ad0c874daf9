internal import Seccomp

/// Reads a text as a policy, in which zeroes part the files: the first is the policy, the others are what it may include, by their number.
///
/// Whatever the text is: a mistake has a place, and a policy becomes a program that the kernel's limits allow, or is refused.
public func fuzzSeccompPolicy(_ bytes: [UInt8]) {
  let files = bytes.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
  do {
    let policy = try SeccompPolicy(text: files[0], file: "0") { Int($0).flatMap { files.indices.contains($0) ? files[$0] : nil } }
    let names = policy.allowedCalls
    precondition(Set(names).count == names.count, "a call has one line")
    for name in names.prefix(2) { precondition(!policy.removing(name).allowedCalls.contains(name), "a call can be removed") }
    let program = try policy.compile(onViolation: .trap)
    precondition(!program.bytes.isEmpty && program.bytes.count % 8 == 0 && program.bytes.count <= 8 * 4096, "a program for the kernel")
  } catch {
    let line = error.description
    precondition(!line.isEmpty && !line.contains("\n"), "a mistake is one line")
    if case .mistake(_, let number, _) = error { precondition(number > 0, "lines count from 1") }
  }
}

/// What the fuzzing of policies begins with.
public enum SeccompSeeds {
  /// Good policies and bad ones.
  public static let policies: [[UInt8]] = [
    "read: 1\nwrite: allow\n", "ioctl: arg1 == 0x5401 || arg1 in 0xff && arg2 & ~(1|2); return EPERM\n",
    "{openat, close}: return ENOENT\n@default kill-process\n",
    "# nothing\nfcntl: arg1 == F_GETFL || arg1 == F_SETFL && \\\n arg2 != O_RDWR\n",
    "@include 1\nread: 1\0write: arg0 <= 2\n", "@include 0\n", "@include ./1\n@default log\0@include 0\n",
    "@frequency ./x.frequency\nkill: kill\n",
    "mmap: arg2 in PROT_READ|PROT_WRITE && arg3 > 1 || arg0 >= 18446744073709551615\n", "prctl: arg0 < 012; return 4094\n",
  ].map { Array($0.utf8) }

  /// Words that policies are made of.
  public static let words = [
    "@include ", "@default ", "@frequency ", "trap", "log", "kill-process", "allow", "return ", "EPERM", "arg0 ", "arg5 ", "== ", "!= ",
    "<= ",
    ">= ", " in ", " & ", "&&", "||", "~", "(", ")", "\\\n", "\n", "#", "{", "}", ",", ": ", "read", "write", "ioctl", "mmap", "prctl",
    "0x", "PROT_READ", "O_RDWR", "\0",
  ]
}
