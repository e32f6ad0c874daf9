import Glibc
import Testing

/// Sockets between guest and host, as far as they need no guest.
@Suite(.enabled(if: Crosvm.hasKVM && Crosvm.hasNamespaces, "needs a usable /dev/kvm and namespaces"))
struct VsockTests {
  let workplace = Workplace()

  init() { workplace.write("spins", Firmware.spins) }

  private func start(_ options: String...) throws -> Crosvm {
    let machine = try Crosvm(["run", "--vsock", "cid=3,socket=v.sock"] + options + ["--bios", "spins"], in: workplace)
    #expect(machine.waitForOutput("A"))
    return machine
  }

  @Test(arguments: [SIGTERM, SIGKILL])
  func theSocketsAreThereWhileTheMachineIs(signal: Int32) throws {
    let machine = try start("-s", "vm.sock")
    #expect(Set(["v.sock", "v.sock.seqpacket", "vm.sock"]).isSubset(of: workplace.names))
    machine.send(signal)
    _ = machine.end()
    #expect(Crosvm.wait { workplace.names == ["spins"] }, "\(workplace.names)")
  }

  @Test func theSocketsGoWhenTheWholeJobIsKilled() throws {
    let machine = try start("-s", "vm.sock")
    machine.sendToJob(SIGKILL)
    let ending = machine.end()
    #expect(Crosvm.wait { workplace.names == ["spins"] }, "\(workplace.names)")
    #expect(!ending.leavesProcesses)
  }

  @Test func aSecondMachineLeavesTheSocketsOfTheFirstAlone() throws {
    let machine = try start()
    let second = try Crosvm.run(["run", "--vsock", "cid=4,socket=v.sock", "--bios", "spins"], in: workplace)
    #expect(second.status == 1 && second.errors.contains("somebody listens at the socket v.sock"), "\(second)")
    #expect(workplace.names.contains("v.sock"))
    machine.send(SIGTERM)
    #expect(machine.end().status == 0)
  }

  @Test func socketsThatWereLeftBehindAreReplaced() throws {
    let machine = try start("--disable-sandbox")
    machine.send(SIGKILL)
    _ = machine.end()
    #expect(workplace.names.contains("v.sock") && workplace.names.contains("v.sock.seqpacket"))
    let next = try start()
    next.send(SIGTERM)
    #expect(next.end().status == 0)
    #expect(Crosvm.wait { workplace.names == ["spins"] }, "\(workplace.names)")
  }

  @Test func theConnectorIsConfinedAndEndsWithTheMachine() throws {
    let machine = try start()
    let look = { machine.processes.first { $0.name == "connector" } }
    #expect(Crosvm.wait { look()?.status("Seccomp") == "2" })
    if let connector = look() {
      #expect(connector.status("NoNewPrivs") == "1")
      #expect(geteuid() != 0 || connector.entries("fd") == ["0"])
      // Of root's capabilities the one to use the sockets of others: CAP_DAC_OVERRIDE.
      let capabilities = geteuid() == 0 ? "0000000000000002" : "0000000000000000"
      for set in ["CapPrm", "CapEff"] { #expect(connector.status(set) == capabilities) }
      for set in ["CapInh", "CapAmb"] { #expect(connector.status(set) == "0000000000000000") }
    }
    machine.send(SIGKILL)
    _ = machine.end()
    #expect(Crosvm.wait { look() == nil })
  }

  @Test(arguments: [
    Mistake("run", "--vsock", "cid=3,socket=spins", "--bios", "spins", says: "spins is there and is not such a socket"),
    Mistake(
      "run", "--vsock", "cid=3,device=/dev/no-vsock", "--bios", "spins", says: "open /dev/no-vsock: No such file", "modprobe no_vsock"),
    Mistake(
      "run", "--vsock", "cid=3,device=/dev/null", "--bios", "spins", says: "/dev/null does not take the guest's address",
      "give another device"),
  ])
  func whatCannotBeMadeIsNamed(mistake: Mistake) throws { try mistake.expect(status: 1, in: workplace) }

  @Test(arguments: [
    Mistake("run", "--vsock", "cid=3,socket=no/v.sock", "--bios", "spins", says: "no/v.sock", "directory that does not exist"),
    Mistake("run", "--vsock", "cid=3,socket=s", "-s", "s", "--bios", "spins", says: "both the control socket", "\"s\""),
    Mistake("run", "--cid", "2", "--bios", "spins", says: "--cid", "from 3 to 4294967294"),
    Mistake("run", "--cid", "4294967295", "--bios", "spins", says: "--cid", "from 3 to 4294967294"),
    Mistake("run", "--vsock", "socket=x", "--bios", "spins", says: "cid"),
    Mistake("run", "--vsock", "cid=3,socket=x,device=y", "--bios", "spins", says: "exclude each other"),
    Mistake("run", "--vsock", "cid=3", "--cid", "3", "--bios", "spins", says: "--cid"),
    Mistake(
      "run", "--vsock", "cid=3,socket=\(String(repeating: "x", count: 97))", "--bios", "spins", says: "more than 96 bytes"),
  ])
  func whatIsWrongInItselfIsRefused(mistake: Mistake) throws { try mistake.expect(status: 2, in: workplace) }
}
