import Glibc
import Testing

/// The commands that ask a running machine, from the outside.
@Suite(.enabled(if: Crosvm.hasKVM && Crosvm.hasNamespaces, "needs a usable /dev/kvm and namespaces"))
struct ControlCommandTests {
  let workplace = Workplace()

  init() {
    workplace.write("spins", Firmware.spins)
    workplace.write("chatters", Firmware.chatters)
  }

  private func start(_ guest: String, _ options: String...) throws -> Crosvm {
    let machine = try Crosvm(["run", "-s", "vm.sock"] + options + ["--bios", guest], in: workplace)
    #expect(machine.waitForOutput("A"))
    return machine
  }

  private func ask(_ words: String...) throws -> Ending { try Crosvm.run(words, in: workplace) }

  @Test func stopEndsAMachineAndItsSocket() throws {
    let machine = try start("spins", "-c", "2")
    let ending = try ask("stop", "vm.sock")
    #expect(ending.status == 0 && ending.output.isEmpty && ending.errors.isEmpty)
    #expect(machine.end().status == 0)
    #expect(workplace.names == ["chatters", "spins"])
  }

  @Test func aSuspendedMachineStandsStill() throws {
    let options = ["-s", "vm.sock", "-c", "4", "--serial", "type=file,path=out,console"]
    let machine = try Crosvm(["run"] + options + ["--bios", "chatters"], in: workplace)
    let size = { () -> Int in
      var status = stat()
      return unsafe stat(workplace.path + "/out", &status) == 0 ? Int(status.st_size) : -1
    }
    #expect(Crosvm.wait { size() > 0 })
    for _ in 0..<20 {
      #expect(try ask("suspend", "vm.sock").status == 0)
      // What is on its way to the file arrives; then nothing more does. A machine that runs is never still for so many looks.
      var last = -1
      var still = 0
      #expect(
        Crosvm.wait {
          let now = size()
          still = now == last ? still + 1 : 0
          last = now
          return still == 20
        })
      // Twice is as good as once.
      #expect(try ask("suspend", "vm.sock").status == 0)
      #expect(try ask("resume", "vm.sock").status == 0)
      #expect(Crosvm.wait { size() > last })
      #expect(try ask("resume", "vm.sock").status == 0)
    }
    #expect(try ask("suspend", "vm.sock").status == 0)
    #expect(try ask("stop", "vm.sock").status == 0)
    #expect(machine.end().status == 0)
  }

  @Test func aSuspendedMachineEndsBySignal() throws {
    let machine = try start("spins", "-c", "4")
    #expect(try ask("suspend", "vm.sock").status == 0)
    machine.send(SIGTERM)
    #expect(machine.end().status == 0)
  }

  @Test func whatAMachineHasNotItSays() throws {
    let machine = try start("spins")
    for (words, part) in [
      (["balloon", "4096", "vm.sock"], "no driver for its balloon"), (["balloon_stats", "vm.sock"], "no driver for its balloon"),
      (["usb", "list", "vm.sock"], "no USB controller"), (["usb", "detach", "1", "vm.sock"], "no USB controller"),
      (["usb", "attach", "1:2:18d1:4ee1", "-", "vm.sock"], "no USB controller"), (["disk", "resize", "0", "4096", "vm.sock"], "no disk 0"),
      (["net", "link", "0", "down", "vm.sock"], "no network card 0; this machine has 0"),
      (["powerbtn", "vm.sock"], "does not listen to its power button"),
    ] {
      let ending = try Crosvm.run(words, in: workplace)
      #expect(ending.status == 1 && ending.output.isEmpty)
      #expect(ending.errors.contains(part) && ending.errors.hasSuffix("\n") && ending.errors.count { $0 == "\n" } == 1)
    }
    let version = try ask("version", "vm.sock")
    #expect(version.status == 0)
    #expect(version.output == (try ask("version").output))
    #expect(try ask("stop", "vm.sock").status == 0)
    #expect(machine.end().status == 0)
  }

  @Test func severalMachinesAreAskedAndOneRefusalIsAFailure() throws {
    let first = try start("spins", "--name", "first")
    let second = try Crosvm(["run", "--socket", ".", "--name", "second", "--bios", "spins"], in: workplace)
    #expect(second.waitForOutput("A"))
    let names = workplace.names.filter { $0.hasPrefix("crosvm-") && $0.hasSuffix(".sock") }
    #expect(names.count == 1)
    let own = try #require(names.first)
    let list = try ask("list").output.split(separator: "\n")
    #expect(list.first?.hasPrefix("PID") == true)
    #expect(list.contains { $0.contains("  first ") && $0.hasSuffix(workplace.path + "/vm.sock") && $0.contains(" 256 ") })
    #expect(list.contains { $0.contains("  second ") && $0.hasSuffix("/" + own) })
    let ending = try ask("stop", "vm.sock", "missing.sock", own)
    #expect(ending.status == 1 && ending.errors.contains("missing.sock"))
    #expect(first.end().status == 0)
    #expect(second.end().status == 0)
    #expect(workplace.names == ["chatters", "spins"])
  }

  @Test func aSecondMachineDoesNotTakeTheSocketOfTheFirst() throws {
    let machine = try start("spins")
    let second = try Crosvm.run(["run", "-s", "vm.sock", "--bios", "spins"], in: workplace)
    #expect(second.status == 1 && second.errors.contains("a running machine listens at vm.sock"))
    machine.send(SIGTERM)
    #expect(machine.end().status == 0)
  }

  /// After SIGKILL it stays where there is no launcher that takes it away, and the next machine replaces it.
  @Test func aSocketThatWasLeftBehindIsReplaced() throws {
    let machine = try start("spins", "--disable-sandbox")
    machine.send(SIGKILL)
    _ = machine.end()
    #expect(workplace.names.contains("vm.sock"))
    let dead = try ask("stop", "vm.sock")
    #expect(dead.status == 1 && dead.errors.contains("no machine listens at vm.sock"))
    let third = try start("spins")
    #expect(try ask("stop", "vm.sock").status == 0)
    #expect(third.end().status == 0)
  }

  @Test(arguments: [
    Mistake("run", "--bios", "spins", "-s", "spins", says: "spins is there and is not a socket"),
    Mistake("run", "--bios", "spins", "-s", "no/such.sock", says: "no/such.sock", "No such file"),
    Mistake(words: ["run", "--bios", "spins", "-s", String(repeating: "x", count: 200)], parts: ["more than 107 bytes"]),
    Mistake("stop", "spins", says: "spins is no socket"),
    Mistake("stop", ".", says: ". is no socket"),
  ])
  func badPlacesForASocket(mistake: Mistake) throws {
    let ending = try Crosvm.run(mistake.words, in: workplace)
    #expect(ending.status == 1)
    for part in mistake.parts { #expect(ending.errors.contains(part)) }
    #expect(workplace.names == ["chatters", "spins"])
  }

  /// What the guest or a client does decides when a line is logged; whoever should read it decides nothing about the machine.
  @Test(arguments: [
    // The reader has gone.
    #"exec 3>&1; { "$@" 2>&1 >&3 3>&-; echo status=$? >&3; } | true"#,
    // The reader does not read, and the pipe is full.
    #"exec 3>&1; mkfifo gate; { ( head -c 65536 /dev/zero >&2; exec "$@" ) 2>&1 >&3 3>&-; echo status=$? >&3; : >gate; } | cat gate"#,
  ])
  func readersOfTheLogDoNotEndOrHoldAMachine(script: String) throws {
    let options = ["--log-level", "debug", "run", "-s", "vm.sock", "--bios", "spins"]
    let machine = try Crosvm(options, in: workplace, launcher: ["sh", "-c", script, "sh"])
    #expect(machine.waitForOutput("A"))
    for _ in 0..<3 { #expect(try ask("version", "vm.sock").status == 0) }
    #expect(try ask("stop", "vm.sock").status == 0)
    let ending = machine.end()
    #expect(ending.output == "Astatus=0\n")
  }
}
