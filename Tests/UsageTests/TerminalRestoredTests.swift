import Glibc
import Testing

/// However a machine ends, its terminal is as it was before. The end by SIGKILL is among the tests of the sandbox.
@Suite(.enabled(if: Crosvm.hasKVM, "needs a usable /dev/kvm"))
struct TerminalRestoredTests {
  let workplace = Workplace()

  init() {
    workplace.write("sleeps", Firmware.sleeps)
    workplace.write("waits", Firmware.resetsAtAKey)
  }

  /// Runs a machine in a terminal, brings about its end, and expects the terminal as it was.
  ///
  /// - Parameter end: Called when the guest has spoken.
  /// - Returns: How it ended, and what the terminal showed.
  private func run(
    _ arguments: [String], end: (Crosvm, PseudoTerminal) throws -> Void
  ) throws -> (ending: Ending, shown: String) {
    let terminal = try PseudoTerminal()
    let before = terminal.settings
    let machine = try Crosvm(arguments, in: workplace, terminal: terminal.path)
    let shown = terminal.read(until: "A")
    #expect(terminal.isRaw && !terminal.has(before))
    try end(machine, terminal)
    let ending = machine.end()
    #expect(terminal.has(before) && !ending.leavesProcesses)
    return (ending, shown + terminal.readRest())
  }

  @Test(arguments: SignalTests.signals, SignalTests.modes)
  func afterASignal(signal: Int32, mode: [String]) throws {
    let (ending, shown) = try run(mode + ["--bios", "sleeps"]) { machine, _ in machine.send(signal) }
    #expect(ending.status == 0 && shown == "A")
  }

  @Test(arguments: SignalTests.modes)
  func afterAResetOfTheGuest(mode: [String]) throws {
    let (ending, shown) = try run(["--extended-status"] + mode + ["--bios", "waits"]) { _, terminal in terminal.write([0x20]) }
    #expect(ending.status == 32 && shown == "A")
  }

  @Test(.enabled(if: Crosvm.hasNamespaces, "needs namespaces"), arguments: ["rng", "crosvm"])
  func afterTheDeathOfADeviceOrOfTheLauncher(name: String) throws {
    let (ending, shown) = try run(["run", "--bios", "sleeps"]) { machine, _ in
      let victim = try #require(machine.processes.first { $0.name == name && $0.identifier != machine.look.identifier })
      kill(victim.identifier, SIGKILL)
    }
    #expect(ending.status == 1 && shown.hasPrefix("Acrosvm run: the machine crashed: "), "\(shown)")
  }

  @Test(.enabled(if: Crosvm.hasNamespaces, "needs namespaces"))
  func afterAViolationOfItsOwnPolicy() throws {
    workplace.writePolicies()
    try workplace.writePolicy("main", replacing: "\naccept4: arg3 == SOCK_CLOEXEC\n", by: "\n")
    let (ending, shown) = try run(["run", "--seccomp-policy-dir", ".", "-s", "socket", "--bios", "sleeps"]) { _, _ in
      let answer = try Crosvm.run(["version", "socket"], in: workplace)
      #expect(answer.status == 1)
    }
    #expect(ending.status == 128 + SIGSYS && shown.contains("forbids: accept4("), "\(shown)")
  }

  /// A shell says nothing to a job that was not stopped when it brings it to the foreground.
  @Test(arguments: SignalTests.modes)
  func afterAJobThatWasInTheBackground(mode: [String]) throws {
    let terminal = try PseudoTerminal()
    let before = terminal.settings
    let shell = ["bash", "-c", "set -m; \"$@\" & read -r; fg >/dev/null", "bash"]
    let machine = try Crosvm(mode + ["--bios", "waits"], in: workplace, launcher: shell, terminal: terminal.path)
    #expect(terminal.read(until: "A") == "A" && terminal.has(before))
    terminal.write(Array("\n".utf8))
    #expect(Crosvm.wait { terminal.isRaw })
    terminal.write([0x20])
    let ending = machine.end()
    #expect(ending.status == 0 && terminal.has(before) && !ending.leavesProcesses, "\(ending)")
  }

  /// A job that is stopped, goes on in the background, and comes back, with several processors, any of which could be told.
  @Test(arguments: [SIGTSTP, SIGSTOP], SignalTests.modes)
  func afterAJobThatWasStopped(signal: Int32, mode: [String]) throws {
    let terminal = try PseudoTerminal()
    let before = terminal.settings
    // A shell that has no settings of its own, so that it puts none back.
    let shell = """
      use POSIX ":sys_wait_h"; $SIG{TTOU} = "IGNORE"; my $job = fork;
      if (!$job) { POSIX::setpgid(0, 0); POSIX::tcsetpgrp(0, $$); $SIG{TTOU} = "DEFAULT"; exec @ARGV }
      waitpid($job, WUNTRACED); POSIX::tcsetpgrp(0, getpgrp()); kill CONT => -$job; <STDIN>;
      POSIX::tcsetpgrp(0, $job); waitpid($job, 0); exit($? >> 8);
      """
    let machine = try Crosvm(
      mode + ["-c", "4", "--bios", "waits"], in: workplace, launcher: ["perl", "-e", shell], terminal: terminal.path)
    #expect(terminal.read(until: "A") == "A" && terminal.isRaw)
    // The first one is the VMM.
    let process = try #require(machine.processes.filter { $0.name == "crosvm" }.map(\.identifier).min())
    kill(process, signal)
    // Nobody is told of the other one, so the settings stay.
    #expect(signal == SIGSTOP || Crosvm.wait { terminal.has(before) })
    #expect(
      Crosvm.wait { machine.processes.contains { $0.words.first == "perl" && $0.isInForeground } && ProcessLook(process).state != "T" })
    terminal.write(Array("\n".utf8))
    #expect(Crosvm.wait { terminal.isRaw && ProcessLook(process).isInForeground })
    // Read in the foreground, as a key.
    terminal.write([0x20])
    let ending = machine.end()
    #expect(ending.status == 0 && terminal.has(before) && !ending.leavesProcesses, "\(ending)")
  }

  @Test(arguments: SignalTests.modes)
  func afterAStartThatFails(mode: [String]) throws {
    workplace.writeZeros("short", count: 4096)
    let shown = try fail(mode + ["--bios", "short"])
    #expect(shown.contains("the firmware \"short\" is 4096 bytes"), "\(shown)")
  }

  /// The first thread that is started is the one that reads the terminal, which is raw already.
  @Test(.enabled(if: Crosvm.hasNamespaces, "needs namespaces"))
  func afterAStartThatFailsLate() throws {
    workplace.writePolicies()
    try workplace.writePolicy("common", replacing: "|CLONE_CHILD_CLEARTID\n", by: "; return EAGAIN\n")
    let quiet = ["--no-rng", "--no-balloon", "--serial", "sink,stdin"]
    let shown = try fail(["run", "--seccomp-policy-dir", "."] + quiet + ["--bios", "sleeps"])
    #expect(shown.contains("start thread stdin: Resource temporarily unavailable"), "\(shown)")
  }

  /// Expects that a machine is not started, and the terminal as it was.
  ///
  /// - Returns: What the terminal showed.
  private func fail(_ arguments: [String]) throws -> String {
    let terminal = try PseudoTerminal()
    let before = terminal.settings
    let ending = try Crosvm(arguments, in: workplace, terminal: terminal.path).end()
    #expect(ending.status == 1 && terminal.has(before) && !ending.leavesProcesses)
    return terminal.readRest()
  }
}
