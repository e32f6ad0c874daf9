import Machine
import PlatformDevices
import Testing

struct SerialPortTests {
  private func machine(_ ports: SerialConfiguration...) -> VMConfiguration {
    var configuration = VMConfiguration(boot: .firmware(path: "/proc/self/exe"))
    configuration.serialPorts = ports
    return configuration
  }

  private func message(_ configuration: VMConfiguration) -> String {
    do {
      try configuration.validate()
      return "accepted"
    } catch {
      return "\(error)"
    }
  }

  @Test func withoutAnyTheFirstIsTheConsoleAndTheOthersAreSinks() {
    #expect(
      machine().completeSerialPorts == [
        SerialConfiguration(backend: .standardOutput, isConsole: true, readsStandardInput: true),
        SerialConfiguration(number: 2), SerialConfiguration(number: 3), SerialConfiguration(number: 4),
      ])
  }

  @Test func anotherConsoleLeavesTheFirstPortASink() {
    let console = SerialConfiguration(backend: .standardOutput, hardware: .virtioConsole, isConsole: true)
    #expect(machine(console).completeSerialPorts == (1...4).map { SerialConfiguration(number: $0) } + [console])
  }

  @Test func aNamedFirstPortIsLeftAsItIs() {
    let port = SerialConfiguration(backend: .syslog)
    #expect(machine(port).completeSerialPorts == [port] + (2...4).map { SerialConfiguration(number: $0) })
  }

  @Test func theStandardInputGoesToWhoeverAsks() {
    let reader = SerialConfiguration(number: 2, readsStandardInput: true)
    let ports = machine(reader).completeSerialPorts
    #expect(ports[0] == SerialConfiguration(backend: .standardOutput, isConsole: true))
    #expect(ports[1] == reader)
  }

  @Test func contradictionsAreNamed() {
    let console = SerialConfiguration(isConsole: true)
    let other = SerialConfiguration(hardware: .virtioConsole, isConsole: true)
    #expect(message(machine(console, other)) == "both ttyS0 and hvc0 are to be the console; choose one")
    #expect(
      message(machine(console, SerialConfiguration()))
        == "there are two serial ports with hardware=serial and num=1; give each another number")
    #expect(
      message(machine(.init(readsStandardInput: true), .init(number: 3, readsStandardInput: true)))
        == "both ttyS0 and ttyS2 are to read the standard input; choose one")
    #expect(message(machine(.init(isEarlyConsole: true), .init(number: 4, isEarlyConsole: true))).contains("early console"))
  }

  @Test func valuesAreChecked() {
    for number in [Int.min, 0, 5, Int.max] {
      #expect(message(machine(.init(number: number))) == "there is no serial port number \(number); give 1 to 4")
    }
    #expect(message(machine(.init(hardware: .virtioConsole, isEarlyConsole: true))).contains("use hardware=serial"))
    #expect(message(machine(.init(backend: .file(path: "")))) == "a serial port of type file needs a path; add path=PATH")
    #expect(message(machine(.init(backend: .unixSocket(path: "")))) == "a serial port of type unix needs a path; add path=PATH")
    let long = String(repeating: "x", count: 108)
    #expect(message(machine(.init(backend: .unixSocket(path: long)))).contains("108 bytes"))
    #expect(message(machine(.init(backend: .file(path: "/tmp")))).contains("is a directory"))
    #expect(message(machine(.init(backend: .file(path: "/no/such/file")))).contains("directory that does not exist"))
    #expect(message(machine(.init(backend: .file(path: "/tmp/crosvm-is-not-made-by-validation")))) == "accepted")
    #expect(message(machine(.init(backend: .file(path: "/dev/null")))) == "accepted")
  }

  @Test func outputIntoAFileOfTheMachineIsRefused() {
    let directory = TemporaryDirectory()
    let disk = directory.file("disk")
    var configuration = VMConfiguration(boot: .kernel(KernelConfiguration(path: disk)))
    configuration.serialPorts = [.init(backend: .file(path: disk))]
    #expect(message(configuration).contains("is also a disk, kernel or other file of this machine"))
  }
}
