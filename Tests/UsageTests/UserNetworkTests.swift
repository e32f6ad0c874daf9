import Glibc
import Testing

/// The network of the user's own programs, as a user starts it.
@Suite(.enabled(if: Crosvm.hasKVM && Crosvm.hasNamespaces, "needs a usable /dev/kvm and namespaces"))
struct UserNetworkTests {
  private let workplace: Workplace

  init() throws {
    workplace = Workplace()
    workplace.write("resets", Firmware.resets)
  }

  @Test func aMissingPasstIsNamedWithItsPackage() throws {
    try Mistake("run", "--net", "user", "--bios", "resets", says: "passt", "not in PATH", "install the package passt").expect(
      status: 1, in: workplace, launcher: ["env", "PATH=/nowhere"])
  }

  @Test func aPortInUseIsNamedAndWhatPasstSaysIsPassedOn() throws {
    let taken = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(taken) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = unsafe withUnsafeMutablePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bound in
        unsafe bind(taken, bound, length) == 0 && listen(taken, 1) == 0 ? getsockname(taken, bound, &length) : -1
      }
    }
    try #require(code == 0)
    let port = UInt16(bigEndian: address.sin_port)
    let ending = try Crosvm.run(["run", "--net", "user,forward=tcp:\(port):80", "--bios", "resets"], in: workplace)
    #expect(ending.status == 1 && ending.errors.contains("port \(port) of the host cannot be listened at"), "\(ending)")
    #expect(!ending.leavesProcesses)
    workplace.write("passt", Array("#!/bin/sh\necho Failed to send 3 bytes to syslog >&2; echo No interface, sorry >&2; exit 1\n".utf8))
    #expect(unsafe chmod(workplace.path + "/passt", 0o755) == 0)
    try Mistake("run", "--net", "user", "--bios", "resets", says: "passt does not start: No interface, sorry").expect(
      status: 1, in: workplace, launcher: ["env", "PATH=\(workplace.path)"])
  }

  @Test func aPasstThatHangsKeepsNobodyFromEndingTheMachine() throws {
    workplace.write("spins", Firmware.spins)
    workplace.write("passt", Array("#!/bin/sh\nwhile :; do :; done\n".utf8))
    #expect(unsafe chmod(workplace.path + "/passt", 0o755) == 0)
    let machine = try Crosvm(["run", "--net", "user", "--bios", "spins"], in: workplace, launcher: ["env", "PATH=\(workplace.path)"])
    #expect(Crosvm.wait { machine.processes.contains { $0.name == "passt" } })
    machine.send(SIGTERM)
    let ending = machine.end()
    #expect(ending.status == 0 && !ending.leavesProcesses, "\(ending)")
  }

  @Test(.enabled(if: Tool.hasPasst, "needs the package passt")) func aMachineInItStartsAndLeavesNothing() throws {
    workplace.write("spins", Firmware.spins)
    for signal in [SIGTERM, SIGKILL] {
      // By its MTU our passt is told from others.
      let machine = try Crosvm(["run", "--net", "user,mtu=1357", "--bios", "spins"], in: workplace)
      #expect(machine.waitForOutput("A"))
      #expect(Passts.count(mtu: 1357) == 1)
      machine.send(signal)
      _ = machine.end()
      #expect(Crosvm.wait { Passts.count(mtu: 1357) == 0 })
    }
  }
}

/// The processes of passt, which is no child of the machine that started it.
enum Passts {
  /// Those of machines with an MTU.
  static func all(mtu: Int) -> [ProcessLook] {
    ProcessLook.all.filter { $0.words.first == "passt" && $0.words.contains("\(mtu)") }
  }

  static func count(mtu: Int) -> Int { all(mtu: mtu).count }
}
