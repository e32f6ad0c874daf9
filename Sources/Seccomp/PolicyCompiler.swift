internal import CLinux
internal import CSeccomp
internal import Glibc
internal import Platform

extension SeccompPolicy {
  /// Makes a program for the kernel of it. Calls of another architecture, and on x86-64 those of x32, end the process.
  ///
  /// - Parameter onViolation: What becomes of other calls than the allowed ones, unless the policy has `@default`.
  /// - Throws: `PolicyError`: `tooLarge`, or `compiler`.
  public func compile(onViolation: Violation) throws(PolicyError) -> SeccompProgram {
    let action = (violation ?? onViolation).action
    // libseccomp sorts out the calls whose arguments do not matter. It compares arguments too, but no argument twice, and version 2.5.4 was
    // stopped after ten minutes over one small policy of overlapping comparisons; so comparisons are ours.
    var program = FilterAssembly(architecture: architecture.token)
    let filter = try FilterContext.make(otherwise: action, architecture: architecture)
    for rule in rules {
      switch rule.verdict {
      case .allow: try filter.add(rule, SCMP_ACT_ALLOW)
      case .kill: if action != SCMP_ACT_KILL_PROCESS { try filter.add(rule, SCMP_ACT_KILL_PROCESS) }
      case .fail(let errno): try filter.add(rule, cseccomp_ACT_ERRNO(errno))
      case .allowIf(let alternatives, let errno):
        program.add(call: rule.number, allowedIf: alternatives, otherwise: errno.map { cseccomp_ACT_ERRNO($0) } ?? action)
      }
    }
    return try SeccompProgram(bytes: program.bytes + filter.program())
  }
}

extension SeccompPolicy.Violation {
  fileprivate var action: UInt32 {
    switch self {
    case .trap: SCMP_ACT_TRAP
    case .killProcess: SCMP_ACT_KILL_PROCESS
    case .log: SCMP_ACT_LOG
    }
  }
}

/// A filter of libseccomp while it is being built.
@safe private struct FilterContext: ~Copyable {
  /// libseccomp's own, until `deinit` gives it back.
  private let context: UnsafeMutableRawPointer

  private init(context: UnsafeMutableRawPointer) { unsafe self.context = context }

  static func make(otherwise action: UInt32, architecture: Architecture) throws(PolicyError) -> FilterContext {
    guard let context = unsafe seccomp_init(action) else { throw .compiler(SystemError("prepare a seccomp filter", code: EINVAL)) }
    let filter = unsafe FilterContext(context: context)
    if architecture != .native {
      try filter.check(unsafe seccomp_arch_add(context, architecture.token), "choose the filter's architecture")
      try filter.check(unsafe seccomp_arch_remove(context, Architecture.native.token), "choose the filter's architecture")
    }
    try filter.check(unsafe seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "refuse other architectures")
    // A binary tree of the calls' numbers: a dozen instructions for any of them. Where the library is too old for it the program is slower.
    _ = unsafe seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2)
    return filter
  }

  deinit { unsafe seccomp_release(context) }

  func add(_ rule: PolicyRule, _ action: UInt32) throws(PolicyError) {
    // libseccomp wants the number that a call has on this machine, also in a filter for another one.
    let number = unsafe seccomp_syscall_resolve_name(rule.call)
    try check(unsafe seccomp_rule_add_array(context, action, number, 0, nil), "compile '\(rule.call)' of \(rule.file):\(rule.line)")
  }

  func program() throws(PolicyError) -> [UInt8] {
    do throws(SystemError) {
      let number = try retrying("memfd_create") { unsafe Int(memfd_create("seccomp", UInt32(clinux_MFD_CLOEXEC))) }
      let file = OwnedDescriptor(owning: Int32(number))
      let code = unsafe seccomp_export_bpf(context, file.number)
      guard code >= 0 else { throw SystemError("compile the seccomp filter", code: -code) }
      let borrowed = file.number
      try retrying("read the seccomp filter") { lseek(borrowed, 0, SEEK_SET) }
      return try PolicyFile.bytes(of: borrowed, upTo: 1 << 20, path: "the seccomp filter")
    } catch { throw .compiler(error) }
  }

  private func check(_ code: Int32, _ operation: @autoclosure () -> String) throws(PolicyError) {
    if code < 0 { throw .compiler(SystemError(operation(), code: -code)) }
  }
}
