import Glibc
import GuestMemory
import Interrupts
import Logging
import Platform
import Sandbox
import Virtio

/// The command: `hostile-device ATTEMPT POLICY-DIRECTORY|-`: makes a device process as crosvm does, lets the device in it try to break out,
/// and prints what came of it. With `-` for the policies nothing stops it but namespaces, the empty root and the lack of capabilities.
enum HostileDeviceCommand {
  static func main() {
    do {
      let launcher = try Launcher { _, _, _, _ in HostileDevice() }
      guard CommandLine.arguments.count == 3, let attempt = Attempt(rawValue: CommandLine.arguments[1]) else {
        print("usage: hostile-device \(Attempt.allCases.map(\.rawValue).joined(separator: "|")) POLICY-DIRECTORY|-")
        exit(2)
      }
      let directory = CommandLine.arguments[2]
      try run(attempt, launcher, Launcher.Policies(directory: directory == "-" ? nil : directory, logsFailures: directory == "-"))
      launcher.finish()
    } catch {
      print("failed: \(error)")
      exit(1)
    }
  }

  private static func run(_ attempt: Attempt, _ launcher: Launcher, _ policies: Launcher.Policies) throws {
    let memory = try GuestMemory(regions: [(GuestAddress(0), 1 << 20)])
    let loop = try EventLoop()
    let launched = try launcher.launch(
      HostileBlueprint(), name: "evil", offersPackedRing: false, memory: memory, line: try LevelInterrupt(), policies: policies,
      logger: Logger(label: "test"))
    let proxy = try launched.proxy(MachineServices(doorbells: nil, messages: NoMessages()))
    try launcher.watch(loop) { reason in
      print("ended: \(reason)")
      loop.stop()
    }
    if let answer = try? proxy.perform(Array(attempt.rawValue.utf8)) {
      print("result: \(String(decoding: answer, as: UTF8.self))")
    } else {
      try loop.run()
    }
  }

  private final class NoMessages: MessageInterruptAllocator {
    func makeMessageInterrupt() throws -> any MessageInterrupt { throw OrderRefusal("there are none") }
  }
}

/// Nothing is sent: the device is built in where it runs.
struct HostileBlueprint: DeviceBlueprint {
  static var kind: String { "block" }
  var descriptors: [Int32] { [] }
  init() {}
  init(from reader: inout ByteReader, descriptors: DescriptorList) throws {}
  func encode(to writer: inout ByteWriter) {}
  func build(logger: Logger) throws -> any VirtioDevice { HostileDevice() }
}

/// A device that does nothing but what it must not.
final class HostileDevice: VirtioDevice {
  var type: VirtioDeviceType { .block }
  var features: UInt64 { 0 }
  var queueSizes: [UInt16] { [16] }
  func readConfiguration(offset: UInt64, width: Int) -> UInt64 { 0 }
  func writeConfiguration(offset: UInt64, width: Int, value: UInt64) {}
  func activate(_ activation: VirtioActivation) throws {}
  func reset() {}
  func suspend() {}
  func resume() {}
  func snapshot() throws -> [UInt8] { [] }
  func restore(_ state: [UInt8]) throws {}

  func perform(_ order: [UInt8]) throws -> [UInt8] {
    guard let attempt = Attempt(rawValue: String(decoding: order, as: UTF8.self)) else { throw OrderRefusal("no such attempt") }
    return Array(attempt.make().utf8)
  }
}
