import Bus
import Glibc
import Interrupts
import Logging
import PCI
import Platform
import Synchronization
import VirtioTesting

@testable import Sandbox

/// Some bytes that are the same in each run.
func randomBytes(_ count: Int, using generator: inout SplitMix) -> [UInt8] {
  (0..<count).map { _ in .random(in: .min ... .max, using: &generator) }
}

let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

extension DeviceChannel.Patience {
  /// For a peer that does not answer: long enough for one that does, on a busy host.
  static let short = milliseconds(30)

  static func milliseconds(_ count: Int32) -> DeviceChannel.Patience {
    var patience = DeviceChannel.Patience()
    patience.access = count
    patience.suspension = count
    return patience
  }
}

/// What a device asks of the machine: doorbells as the kernel keeps them, vectors, and ranges.
final class FakeMachine: DoorbellRegistrar, MessageInterruptAllocator, BARHost {
  struct Refusal: Error, CustomStringConvertible {
    let description: String
  }

  struct State {
    var doorbells: [UInt64: Int32] = [:]
    var vectors: [Vector] = []
    var ranges: [Int: UInt64] = [:]
    /// Where no range may be.
    var forbidden: Set<UInt64> = []
  }

  final class Vector: MessageInterrupt {
    let event: EventFD
    let routes = Mutex<[InterruptMessage]>([])
    init() throws { event = try EventFD() }

    func route(_ message: InterruptMessage) throws {
      guard message.address != 0 else { throw Refusal(description: "no address") }
      routes.withLock { $0.append(message) }
    }
  }

  let state = Mutex(State())

  var services: MachineServices { MachineServices(doorbells: self, messages: self) }
  var doorbells: Set<UInt64> { state.withLock { Set($0.doorbells.keys) } }
  var vectors: [Vector] { state.withLock { $0.vectors } }

  func attach(event: Int32, at address: UInt64) throws {
    try state.withLock { state in
      guard state.doorbells[address] == nil else { throw Refusal(description: "taken") }
      state.doorbells[address] = event
    }
  }

  func detach(event: Int32, at address: UInt64) throws {
    try state.withLock { state in
      guard state.doorbells[address] == event else { throw Refusal(description: "absent") }
      state.doorbells[address] = nil
    }
  }

  func makeMessageInterrupt() throws -> any MessageInterrupt {
    let vector = try Vector()
    state.withLock { $0.vectors.append(vector) }
    return vector
  }

  func decode(bar index: Int, at base: UInt64?) -> Bool {
    state.withLock { state in
      state.ranges[index] = nil
      guard let base else { return true }
      guard !state.forbidden.contains(base) else { return false }
      state.ranges[index] = base
      return true
    }
  }
}

/// Ends a connection as its process's end does.
func shutdownBoth(_ socket: PacketSocket) -> Bool { shutdown(socket.number, Int32(SHUT_RDWR)) == 0 }

/// How many descriptors this process has.
func openDescriptors() -> Int { (0..<1024).filter { fcntl($0, F_GETFD) >= 0 }.count }

/// Takes the count of an event, if there is one.
@unsafe func readEvent(_ descriptor: Int32, _ value: UnsafeMutablePointer<UInt64>) -> Bool { unsafe read(descriptor, value, 8) == 8 }
