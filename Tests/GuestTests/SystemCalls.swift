import Platform
import Seccomp

/// Records which system calls the confined threads of the machines under test make, so that no policy allows one for nothing.
///
/// The kernel counts them by the name that the thread has at the time, at the door of its filter, which only confined threads pass.
enum SystemCalls {
  private static let tracing = "/sys/kernel/debug/tracing"
  private static let event = "events/kprobes/confined_call"
  private static let histogram = "hist:keys=name,call:size=65536"

  /// Begins to record; as root, on a host whose kernel can be traced.
  static func record() throws {
    try Child.write("p:kprobes/confined_call __seccomp_filter call=%di:s32 name=$comm\n", to: "\(tracing)/kprobe_events")
    try Child.write("\(histogram)\n", to: "\(tracing)/\(event)/trigger")
  }

  /// Does something that is not recorded: with a filter of its own, which would be counted, too.
  static func unrecorded<Result>(_ body: () throws -> Result) throws -> Result {
    let trigger = "\(tracing)/\(event)/trigger"
    let isRecording = Child.read(trigger).contains("size=65536")
    // Appended, for a trigger file that is written anew forgets what was counted.
    if isRecording { try Child.append("\(histogram):pause\n", to: trigger) }
    defer { if isRecording { try? Child.append("\(histogram):continue\n", to: trigger) } }
    return try body()
  }

  /// Does something where the kernel has no io_uring: on a thread with a filter, which the programs that it starts inherit.
  static func withoutIOUring<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) throws -> Result {
    // Loads the call's number; io_uring_setup, number 425 on all architectures, fails with ENOSYS, and all others are allowed.
    let program = try SeccompProgram(bytes: [
      0x20, 0, 0, 0, 0, 0, 0, 0, 0x15, 0, 0, 1, 0xa9, 1, 0, 0, 0x06, 0, 0, 0, 38, 0, 0x05, 0, 0x06, 0, 0, 0, 0, 0, 0xff, 0x7f,
    ])
    let outcome = Handover<Swift.Result<Result, any Error>>(nil)
    let thread = try PThread(name: "no io_uring", stackSize: 1 << 20) {
      outcome.give(
        Swift.Result {
          try program.install()
          return try body()
        })
    }
    thread.join()
    guard let outcome = outcome.take() else { throw SystemError("run without io_uring", code: 0) }
    return try outcome.get()
  }

  /// What was recorded, a line a policy: "calls POLICY NAME NAME...".
  static func recorded() -> [String] {
    var calls: [String: Set<String>] = [:]
    for line in Child.read("\(tracing)/\(event)/hist").split(separator: "\n") {
      // { name: block0                              , call:          1 } hitcount:        100
      guard line.hasPrefix("{ name:"), let border = line.firstRange(of: ", call:"), let end = line.firstIndex(of: "}") else { continue }
      let thread = line[..<border.lowerBound].dropFirst("{ name:".count).trimmed
      guard let number = Int(line[border.upperBound..<end].trimmed) else { continue }
      for policy in policies(of: thread) { calls[policy, default: []].insert(SeccompNames.name(ofCall: number)) }
    }
    return calls.sorted { $0.key < $1.key }.map { "calls \($0.key) " + $0.value.sorted().joined(separator: " ") }
  }

  /// The policies of processes beside the VMM.
  private static let devices = [
    "block", "pmem", "net", "vhost_net", "user_net", "rng", "console", "balloon", "vsock", "vhost_vsock", "connector",
  ]

  /// The policies that a thread of this name obeys.
  private static func policies(of thread: String) -> [String] {
    if thread.hasPrefix("vcpu") { return ["main", "vcpu"] }
    if thread == "crosvm" || thread == "serial output" || thread == "stdin" { return ["main"] }
    return devices.filter {
      thread.hasPrefix($0) || thread.hasPrefix("virtio_\($0)")
    }
  }

  /// What no guest test makes happen for certain, and why it is allowed all the same.
  private static let exempt = [
    "exit_group": "the end of a process that does what is forbidden: usage tests",
    "brk": "malloc decides when", "mmap": "malloc decides when", "mprotect": "malloc decides when", "munmap": "malloc decides when",
    "rng timerfd_settime": "a guest that takes more than 64 MiB of random bytes a second, which none in the lab can: EntropyDeviceTests",
    "restart_syscall": "the kernel's own, where a wait goes on after SIGSTOP and SIGCONT: usage tests",
    "clock_gettime": "the C library's, on hosts whose clock source programs cannot read by themselves (hpet, acpi_pm)",
    "main fcntl": "a control socket of a process that has no descriptors left keeps one for who waits: usage tests",
    "getpgrp": "where the standard input is a terminal: usage tests",
  ]

  /// Compares the lines of recordings with the policies in the program.
  ///
  /// - Returns: What is wrong, a line each.
  static func check(_ lines: [String]) throws -> [String] {
    var seen: [String: Set<String>] = [:]
    for line in lines {
      let words = line.split(separator: " ").map { String($0) }
      guard words.count > 2, words[0] == "calls" else { continue }
      seen[words[1], default: []].formUnion(words[2...])
    }
    var complaints: [String] = []
    for policy in ["main", "vcpu"] + devices {
      let unused = try SeccompPolicy.load(policy, directory: nil).allowedCalls.filter {
        exempt[$0] == nil && exempt["\(policy) \($0)"] == nil && !(seen[policy] ?? []).contains($0)
      }
      if !unused.isEmpty { complaints.append("\(policy).policy allows what no test uses: \(unused.sorted().joined(separator: " "))") }
    }
    return complaints
  }
}

extension Substring {
  /// Without spaces at its ends.
  fileprivate var trimmed: String {
    var text = self
    while text.last == " " { text.removeLast() }
    return String(text.drop { $0 == " " })
  }
}
