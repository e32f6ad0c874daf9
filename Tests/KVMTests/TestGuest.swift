import CLinux
import Glibc
import GuestMemory
import KVM
import Platform
import Synchronization
import Testing

/// What a payload did that its test gets to see.
enum Seen: Equatable, Sendable {
  /// Stored these elements to a port.
  case out(port: UInt16, width: Int, [UInt64])
  /// Asked for this many elements from a port.
  case input(port: UInt16, width: Int, count: Int)
  /// Stored to an address without memory.
  case store(address: UInt64, width: Int, UInt64)
  /// Loaded from an address without memory.
  case load(address: UInt64, width: Int)
  /// Anything else.
  case other(VirtualCPUExit)
}

/// What the test says to that.
enum Reply: Sendable {
  /// Go on; a load gets zero.
  case proceed
  /// Go on with this value, or for several elements with this value and those after it.
  case answer(UInt64)
  /// The payload has shown what it should.
  case end
}

/// The payload was still running when its time was up; what it did so far is in the message.
struct TimeIsUp: Error, CustomStringConvertible {
  let description: String
}

/// A virtual machine of one processor and 32 KiB of memory from address zero, with nothing behind it up to its end.
///
/// A payload starts at 0x1000 with a stack that ends at 0x7000, and ends with a byte to port 0xf4.
final class TestGuest: Sendable {
  enum Mode: Sendable {
    /// Real mode, all segments at zero.
    case real
    /// 64-bit mode, ring 0; the first 2 MiB mapped to themselves.
    case long
  }

  static let isAvailable = unsafe access("/dev/kvm", R_OK | W_OK) == 0
  static let ramSize: UInt64 = 0x8000
  static let endPort: UInt16 = 0xf4
  private static let codeAddress: UInt64 = 0x1000
  private static let stackEnd: UInt64 = 0x7000
  private static let tablesAddress: UInt64 = 0x4000
  private static let patience: Int32 = 20_000

  let memory: GuestMemory
  let machine: VirtualMachine
  let processor: VirtualCPU

  /// Makes a machine ready to run `code`.
  init(_ code: [UInt8], mode: Mode = .real, interruptController: Bool = false, slotFlags: UInt = 0) throws {
    Self.installKick
    memory = try GuestMemory(regions: [(GuestAddress(0), Self.ramSize)])
    try memory.write(code, at: Self.codeAddress)
    let system = try KVMSystem()
    machine = try system.makeVirtualMachine()
    try machine.setTaskStateAddress(0xfffb_d000)
    if interruptController { try machine.createInterruptController() }
    let host = memory.hostAddress
    try machine.setMemory(slot: 0, guestAddress: 0, size: Self.ramSize, hostAddress: host, flags: UInt32(slotFlags))
    processor = try machine.makeProcessor(identifier: 0)
    try processor.setCPUID(system.supportedCPUID())
    if mode == .long { try enterLongMode() } else { try enterRealMode() }
    var registers = kvm_regs()
    registers.rip = Self.codeAddress
    registers.rsp = Self.stackEnd
    registers.rflags = 2
    try processor.setRegisters(registers)
  }

  private func enterRealMode() throws {
    var registers = try processor.systemRegisters()
    registers.cs.base = 0
    registers.cs.selector = 0
    try processor.setSystemRegisters(registers)
  }

  /// Intel SDM volume 3, section 10.8.5: paging with 2 MiB pages, EFER.LME and LMA, a code segment with the L bit.
  private func enterLongMode() throws {
    let tables = Self.tablesAddress
    try memory.store(tables + 0x1003, at: tables)
    try memory.store(tables + 0x2003, at: tables + 0x1000)
    try memory.store(0x83 as UInt64, at: tables + 0x2000)
    var registers = try processor.systemRegisters()
    registers.cr3 = tables
    registers.cr4 = 1 << 5
    registers.cr0 = 1 << 31 | 1 << 5 | 1
    registers.efer = 1 << 10 | 1 << 8
    var segment = kvm_segment()
    (segment.limit, segment.present, segment.s, segment.g, segment.selector) = (.max, 1, 1, 1, 0x10)
    (segment.type, segment.db) = (3, 1)
    (registers.ds, registers.es, registers.ss, registers.fs, registers.gs) = (segment, segment, segment, segment, segment)
    (segment.type, segment.db, segment.l, segment.selector) = (11, 0, 1, 0x08)
    registers.cs = segment
    try processor.setSystemRegisters(registers)
  }

  /// Puts a handler for an interrupt vector of real mode at an address below 64 KiB.
  func setHandler(vector: UInt64, _ code: [UInt8], at address: UInt64 = 0x1800) throws {
    try memory.write(code, at: address)
    try memory.store(UInt32(address), at: vector * 4)
  }

  // MARK: Running

  /// Runs the payload to its end and returns what it did, that end excepted.
  ///
  /// - Parameter respond: Called on the processor's thread for each thing that the payload does.
  @discardableResult
  func run(_ respond: @escaping @Sendable (Seen) -> Reply = { _ in .proceed }) throws -> [Seen] {
    let (log, done, failure) = (Log<Seen>(), try EventFD(), Log<KVMError>())
    let isLate = Log<Bool>()
    let thread = try PThread(name: "payload") { [processor] in
      PThread.unblock(TestGuest.kick)
      do throws(KVMError) {
        while isLate.all.isEmpty {
          let exit = try processor.enter()
          let seen = TestGuest.describe(exit, processor)
          if case .out(port: TestGuest.endPort, _, _) = seen { break }
          log.append(seen)
          let reply = respond(seen)
          if case .end = reply { break }
          TestGuest.answer(exit, reply, processor)
        }
      } catch { failure.append(error) }
      done.signal()
    }
    defer { thread.join() }
    var entry = pollfd(fd: done.number, events: Int16(POLLIN), revents: 0)
    if unsafe poll(&entry, 1, Self.patience) != 1 {
      isLate.append(true)
      processor.requestExit()
      thread.signal(Self.kick)
      throw TimeIsUp(description: "the payload did not end; it did \(log.all)")
    }
    if let error = failure.all.first { throw error }
    return log.all
  }

  private static func describe(_ exit: VirtualCPUExit, _ processor: VirtualCPU) -> Seen {
    switch exit {
    case .portWrite(let port, let width, let count):
      .out(port: port, width: width, (0..<count).map { processor.portData($0, width: width) })
    case .portRead(let port, let width, let count): .input(port: port, width: width, count: count)
    case .memoryWrite(let address, let width, let value): .store(address: address, width: width, value)
    case .memoryRead(let address, let width): .load(address: address, width: width)
    default: .other(exit)
    }
  }

  private static func answer(_ exit: VirtualCPUExit, _ reply: Reply, _ processor: VirtualCPU) {
    var value: UInt64 = 0
    if case .answer(let given) = reply { value = given }
    switch exit {
    case .portRead(_, let width, let count):
      for index in 0..<count { processor.setPortData(index, width: width, value: value &+ UInt64(index)) }
    case .memoryRead(_, let width): processor.setMemoryData(width: width, value: value)
    default: break
    }
  }

  // MARK: Kicking

  /// The signal that makes a processor leave the guest.
  static let kick = clinux_SIGRTMIN()

  /// Makes that signal interrupt calls and do nothing else, once for the process.
  static let installKick: Void = {
    var action = sigaction()
    unsafe action.__sigaction_handler.sa_handler = { _ in }
    unsafe sigaction(kick, &action, nil)
  }()
}

/// A list that several threads append to.
final class Log<Element: Sendable>: Sendable {
  private let elements = Mutex<[Element]>([])
  func append(_ element: Element) { elements.withLock { $0.append(element) } }
  var all: [Element] { elements.withLock { $0 } }
}

/// Machine code, an instruction an argument.
func code(_ instructions: [UInt8]...) -> [UInt8] { Array(instructions.joined()) }

extension Trait where Self == ConditionTrait {
  /// The machine has a /dev/kvm that may be used.
  static var needsKVM: Self {
    .enabled(if: TestGuest.isAvailable, "/dev/kvm is missing or may not be opened: this needs a Linux host with KVM")
  }
}
