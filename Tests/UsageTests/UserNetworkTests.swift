import Glibc
import Testing

/// The network of the user's own programs, as a user starts it.
@Suite(.enabled(if: Crosvm.hasKVM)) struct UserNetworkTests {
  private let workplace: Workplace

  init() throws {
    workplace = try Workplace()
    workplace.write("resets", Firmware.resets)
  }

  @Test func aMissingPasstIsNamedWithItsPackage() throws {
    try Mistake("run", "--net", "user", "--bios", "resets", says: "passt", "not in PATH", "install the package passt").expect(
      status: 1, in: workplace, launcher: ["env", "PATH=/nowhere"])
  }

  @Test func whatPasstSaysOfAPortIsPassedOn() throws {
    // Two of one number cannot be had, whatever else listens.
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
    #expect(ending.status == 1 && ending.errors.contains("passt does not start: "), "\(ending)")
    #expect(!ending.leavesProcesses)
  }

  @Test func aMachineInItStartsAndLeavesNothing() throws {
    workplace.write("spins", Firmware.spins)
    for signal in [SIGTERM, SIGKILL] {
      // By its MTU our passt is told from others.
      let machine = try Crosvm(["run", "--net", "user,mtu=1357", "--bios", "spins"], in: workplace)
      #expect(machine.waitForOutput("A"))
      #expect(passts(mtu: "1357") == 1)
      machine.send(signal)
      _ = machine.end()
      #expect(Crosvm.wait { passts(mtu: "1357") == 0 })
    }
  }

  private func passts(mtu: String) -> Int {
    ProcessLook.all.count { $0.words.first == "passt" && $0.words.contains(mtu) }
  }
}
