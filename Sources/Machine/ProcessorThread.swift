internal import Bus
internal import CLinux
internal import Glibc
internal import KVM
internal import Logging
internal import Platform
internal import Sandbox

/// The thread of one virtual processor: enters the guest, hands its accesses to the buses, ends with the machine.
final class ProcessorThread: Sendable {
  /// What the processors of a machine share.
  struct Surroundings: Sendable {
    let ports: Bus
    let memory: Bus
    let control: RunControl
    /// Takes away what a processor's thread does not need.
    let confinement: Confinement?
    /// Called when the guest acknowledges an interrupt of an IOAPIC in the VMM.
    let endOfInterrupt: (@Sendable (UInt8) -> Void)?
    /// The images of persistent memory, for messages.
    let images: [String]
    let logger: Logger
  }

  private let processor: VirtualCPU
  private let thread: PThread

  /// Starts the thread; `affinity` names the host processors it may use, empty for all.
  init(processor: VirtualCPU, affinity: [Int], surroundings: Surroundings) throws(SystemError) {
    self.processor = processor
    thread = try PThread(name: "vcpu\(processor.identifier)") {
      // What the others mean is handled by other threads, which may do more than this one.
      SignalFD.blockAll()
      PThread.unblock(ProcessorThread.kick)
      ProcessorThread.pin(affinity, surroundings.logger)
      do throws(SystemError) { try surroundings.confinement?.enterProcessor() } catch {
        return surroundings.control.end(.crashed("processor \(processor.identifier): \(error)"))
      }
      ProcessorThread.run(processor, surroundings)
    }
  }

  /// The signal that makes a processor leave the guest.
  static var kick: Int32 { clinux_SIGRTMIN() }

  /// Makes `kick` interrupt system calls and do nothing else; once, before the first thread.
  static func installKick() {
    var action = sigaction()
    unsafe action.__sigaction_handler.sa_handler = { _ in }
    unsafe _ = sigaction(kick, &action, nil)
  }

  /// Makes the processor leave the guest and look at the machine's state.
  func interrupt() {
    processor.requestExit()
    thread.signal(Self.kick)
  }

  /// Waits for the thread's end.
  func join() { thread.join() }

  private static func pin(_ processors: [Int], _ logger: Logger) {
    guard !processors.isEmpty else { return }
    do { try PThread.setAffinity(processors) } catch { logger.warning("cpu affinity: \(error)") }
  }

  private static func run(_ processor: VirtualCPU, _ around: Surroundings) {
    var ports = BusView(around.ports)
    var memory = BusView(around.memory)
    do {
      while mayEnter(processor, around.control) {
        switch try processor.enter() {
        case .portWrite(let port, let width, let count):
          for index in 0..<count where !around.control.isOver {
            ports.write(UInt64(port), width: width, value: processor.portData(index, width: width))
          }
        case .portRead(let port, let width, let count):
          for index in 0..<count where !around.control.isOver {
            processor.setPortData(index, width: width, value: ports.read(UInt64(port), width: width))
          }
        case .memoryWrite(let address, let width, let value):
          memory.write(address, width: width, value: value)
        case .memoryRead(let address, let width):
          processor.setMemoryData(width: width, value: memory.read(address, width: width))
        case .interrupted:
          // Whoever asked for it has changed the state before, and `mayEnter` looks at that next. Left set, it would end every entry.
          processor.requestExit(false)
        case .endOfInterrupt(let vector): around.endOfInterrupt?(vector)
        case let other:
          around.control.end(outcome(of: other, processor.identifier))
        }
      }
    } catch {
      around.control.end(.crashed("processor \(processor.identifier): \(error)\(explanation(of: error, around.images))"))
    }
  }

  /// What the failure may come from, in words; empty where that is not known.
  private static func explanation(of error: any Error, _ images: [String]) -> String {
    // The kernel has no page for an address that has one: a file's, for guest RAM is nobody else's.
    guard case .request(let cause)? = error as? KVMError, cause.code == EFAULT, !images.isEmpty else { return "" }
    return "; a persistent memory image was made shorter, or cannot be read, or its file system is full: "
      + images.map(\.debugDescription).joined(separator: ", ")
  }

  /// Waits while the machine is paused.
  ///
  /// - Returns: Whether the processor may enter the guest: not when the run has ended.
  private static func mayEnter(_ processor: VirtualCPU, _ control: RunControl) -> Bool {
    while !control.mayRun {
      guard control.waitWhilePaused() else { return false }
      // Then the state is looked at again: who pauses the machine asks for the exit after it has changed the state.
      processor.requestExit(false)
      processor.notePause()
    }
    return true
  }

  /// What an exit that the guest does not return from means for the machine.
  private static func outcome(of exit: VirtualCPUExit, _ identifier: Int) -> RunOutcome {
    switch exit {
    case .shutdown: .crashed("processor \(identifier) met a triple fault")
    case .halted: .stopped
    case .systemEvent(1): .poweredOff
    case .systemEvent(2): .reset
    case .systemEvent(let type): .crashed("the guest reported a crash (system event \(type))")
    case .entryFailed(let reason): .crashed("the host's processor refused the guest's state (reason 0x\(String(reason, radix: 16)))")
    case .internalError(let code): .crashed("KVM cannot go on with processor \(identifier) (internal error \(code))")
    case .unknown(let reason): .crashed("KVM stopped processor \(identifier) for reason \(reason), which this VMM does not know")
    default: .crashed("processor \(identifier) stopped unexpectedly")
    }
  }
}
