import Glibc
import Testing

/// Standard streams that are closed or full.
struct StreamTests {
  let workplace = Workplace()
  static let sets: [[Int32]] = [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]]

  init() {
    workplace.write("firmware", Firmware.resets)
    workplace.write("spins", Firmware.spins)
  }

  /// What else this process has open, the tests of other modules among it, is no part of how a command is started.
  @Test func commandsGetTheStandardStreamsOnly() throws {
    let leaked = dup(2)
    defer { close(leaked) }
    // Its own descriptor of the folder is the fourth.
    let ending = try Crosvm(["/proc/self/fd"], in: workplace, program: "ls").end()
    #expect(ending.output == "0\n1\n2\n3\n", "\(ending)")
  }

  @Test(arguments: sets)
  func aMistakeHasItsStatusWhateverIsClosed(streams: [Int32]) throws {
    let ending = try Crosvm.run(["run", "missing"], in: workplace, closed: streams)
    #expect(ending.status == 2)
    #expect(ending.output.isEmpty)
    #expect(ending.errors.isEmpty == streams.contains(2))
  }

  @Test(arguments: sets)
  func whatWasAskedForAndCannotBeWrittenIsAFailure(streams: [Int32]) throws {
    let ending = try Crosvm.run(["version"], in: workplace, closed: streams)
    #expect(ending.status == (streams.contains(1) ? 1 : 0))
    #expect(ending.errors.contains("standard output") == (streams.contains(1) && !streams.contains(2)), "\(ending.errors)")
  }

  @Test(.enabled(if: Crosvm.hasKVM, "needs a usable /dev/kvm"), arguments: sets)
  func noFileTakesThePlaceOfAClosedStream(streams: [Int32]) throws {
    workplace.writeZeros("disk", count: 4096)
    // The guest writes, and the machine complains that it cannot be written: both must not reach the disk.
    let words = [
      "run", "--bios", "firmware", "--rwdisk", "disk", "--serial", "stdout,console,stdin", "--serial",
      "file,path=/dev/full,num=2",
    ]
    let ending = try Crosvm.run(words, in: workplace, closed: streams)
    #expect(ending.status == 0)
    #expect(workplace.read("disk") == [UInt8](repeating: 0, count: 4096))
    #expect(ending.output == (streams.contains(1) ? "" : "A"))
    let complains = streams.contains(1) && !streams.contains(2)
    #expect(ending.errors.contains("ttyS0: write the guest's output: Bad file descriptor") == complains, "\(ending.errors)")
  }

  /// A signal must not be read as if it were input.
  @Test(.enabled(if: Crosvm.hasKVM, "needs a usable /dev/kvm"))
  func aSignalEndsAMachineWithoutStandardInput() throws {
    let machine = try Crosvm(["run", "--bios", "spins"], in: workplace, closed: [0])
    #expect(machine.waitForOutput("A"))
    machine.send(SIGTERM)
    let ending = machine.end()
    #expect(ending.status == 0 && ending.output == "A" && ending.errors.isEmpty)
  }

  @Test(.enabled(if: Crosvm.hasKVM, "needs a usable /dev/kvm"))
  func aFullDiskIsToldOnceAndTheGuestGoesOn() throws {
    let ending = try Crosvm.run(
      ["run", "--bios", "firmware", "--serial", "file,path=/dev/full,console"], in: workplace)
    #expect(ending.status == 0 && ending.output.isEmpty)
    #expect(
      ending.errors.contains("WARN] crosvm: ttyS0: write the guest's output: No space left on device; what the guest writes there is lost"))
    #expect(ending.errors.utf8.count { $0 == UInt8(ascii: "\n") } == 1)
  }
}
