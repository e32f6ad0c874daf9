import Glibc
import Testing

/// A machine ends when it is told to, whatever it does at the moment.
@Suite(.enabled(if: Crosvm.hasKVM, "needs a usable /dev/kvm"))
struct SignalTests {
  let workplace = Workplace()
  static let signals = [SIGINT, SIGTERM, SIGHUP]
  static let guests = ["spins", "sleeps", "chatters"]
  static let modes = Crosvm.hasNamespaces ? [["run"], ["run", "--disable-sandbox"]] : [["run", "--disable-sandbox"]]

  init() {
    workplace.write("spins", Firmware.spins)
    workplace.write("sleeps", Firmware.sleeps)
    workplace.write("chatters", Firmware.chatters)
  }

  @Test(arguments: signals, guests)
  func aRunningMachineEndsInGoodOrder(signal: Int32, guest: String) throws {
    for mode in Self.modes { try endsInGoodOrder(signal, mode, guest) }
  }

  private func endsInGoodOrder(_ signal: Int32, _ mode: [String], _ guest: String) throws {
    let machine = try Crosvm(mode + ["-c", "4", "--bios", guest], in: workplace)
    #expect(machine.waitForOutput("A"))
    machine.send(signal)
    let ending = machine.end()
    #expect(ending.status == 0 && !ending.leavesProcesses)
    #expect(ending.output.allSatisfy { $0 == "A" } && ending.errors.isEmpty)
  }

  /// Wherever in its start the signal meets it: it ends in good order or, before it listens to signals, at once.
  @Test(arguments: signals)
  func aMachineThatStartsEndsToo(signal: Int32) throws {
    for milliseconds in [0, 1, 2, 4, 8, 16, 32, 64] {
      let machine = try Crosvm(["run", "--disable-sandbox", "--bios", "spins"], in: workplace)
      usleep(UInt32(milliseconds) * 1000)
      machine.send(signal)
      let ending = machine.end()
      #expect(ending.status == 0 || ending.status == 128 + signal)
      #expect(["", "A"].contains(ending.output) && ending.errors.isEmpty && !ending.leavesProcesses)
    }
    #expect(workplace.names == ["chatters", "sleeps", "spins"])
  }
}
