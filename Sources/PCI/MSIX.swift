public import Interrupts
public import Logging
public import Platform
internal import Synchronization

/// Message interrupts of a function with table and pending bits (PCI 3.0, section 6.8.2).
///
/// The guest's side (`setControl`, table, pending bits) and the device's (`signal`) may be used from any thread. A vector takes an
/// interrupt of the machine only when the guest first unmasks it.
public final class MSIX: Sendable {
  /// The most vectors that a function may have.
  public static let maximumVectorCount = 2048
  /// The bytes of a vector's table entry.
  public static let entrySize = 16
  /// The capability's number.
  public static let capabilityID: UInt8 = 0x11

  /// Bits of the capability's message control word.
  enum Control {
    static let functionMask: UInt16 = 1 << 14
    static let enable: UInt16 = 1 << 15
  }

  let vectors: [MSIXVector]
  private let control = Atomic<UInt16>(0)
  private let allocator: any MessageInterruptAllocator
  private let name: String
  private let logger: Logger
  private let hasLogged = Atomic<Bool>(false)
  private let watcher = Mutex<Watcher?>(nil)

  /// Is told by which event a vector's message can be sent; nil where only `signal` does it right.
  public typealias Watcher = @Sendable (_ vector: UInt16, EventFD?) -> Void

  /// Makes the vectors, all masked.
  ///
  /// - Parameters:
  ///   - name: The device's, for log lines.
  ///   - vectorCount: 1...2048.
  ///   - allocator: Makes the machine's interrupts, one a vector at most.
  /// - Throws: `badVectorCount`.
  public init(
    name: String, vectorCount: Int, allocator: any MessageInterruptAllocator, logger: Logger = Logger(label: "crosvm.pci")
  ) throws(PCIError) {
    guard (1...MSIX.maximumVectorCount).contains(vectorCount) else { throw .badVectorCount(vectorCount) }
    self.name = name
    self.logger = logger
    self.allocator = allocator
    vectors = (0..<vectorCount).map { MSIXVector(index: UInt16(clamping: $0)) }
  }

  /// The number of vectors.
  public var vectorCount: Int { vectors.count }

  /// Whether the guest uses message interrupts and not the interrupt line.
  public var isEnabled: Bool { control.load(ordering: .acquiring) & Control.enable != 0 }

  /// Whether vectors may send: enabled, and not all masked together.
  private var isSending: Bool { control.load(ordering: .acquiring) & (Control.enable | Control.functionMask) == Control.enable }

  /// Takes over the capability's message control word after a guest's write; the device calls it for each write to the capability.
  public func setControl(_ word: UInt16) {
    let wasSending = isSending
    control.store(word & (Control.enable | Control.functionMask), ordering: .releasing)
    guard isSending != wasSending else { return }
    for vector in vectors { change(vector) { _ in } }
  }

  /// Sends a vector's message, or notes it as pending while the vector or the function is masked; ignores vectors that are not there.
  public func signal(vector: UInt16) {
    guard Int(vector) < vectors.count else { return }
    vectors[Int(vector)].state.withLock { state in
      if let event = event(state) { event.signal() } else { state.isPending = true }
    }
  }

  /// What sends a vector's message now; nil while the vector or the function is masked, or until the message that it was given is routed.
  private func event(_ state: MSIXVector.State) -> EventFD? {
    isSending && !state.isMasked && state.routed == state.message ? state.interrupt?.event : nil
  }

  /// Sets who is told, at each change of a vector, by which event others than the device may send its message; called under the vector's lock.
  ///
  /// An event that was told is no longer used when the call that tells of the next one returns.
  public func watch(_ watcher: Watcher?) { self.watcher.withLock { $0 = watcher } }

  /// Tells the watcher of a vector as it is now.
  public func tell(vector: UInt16) {
    guard Int(vector) < vectors.count else { return }
    vectors[Int(vector)].state.withLock { tell(vectors[Int(vector)], $0) }
  }

  private func tell(_ vector: MSIXVector, _ state: MSIXVector.State) {
    if let watcher = watcher.withLock({ $0 }) { watcher(vector.index, event(state)) }
  }

  /// Forgets what is pending; the device was reset and has nothing to say any more.
  public func clearPending() {
    for vector in vectors { vector.state.withLock { $0.isPending = false } }
  }

  /// Changes an entry, then brings its interrupt in line with it.
  func change(_ vector: MSIXVector, _ body: (inout MSIXVector.State) -> Void) {
    vector.state.withLock { state in
      body(&state)
      settle(&state)
      tell(vector, state)
    }
  }

  /// Routes a vector that may send, and sends what is pending. Runs under the vector's lock, so that no signal meets a half-made route.
  private func settle(_ state: inout MSIXVector.State) {
    guard isSending, !state.isMasked else { return }
    if state.routed != state.message {
      do { try route(&state) } catch {
        // What is signalled from now on stays pending, until the guest programs the vector again.
        state.routed = nil
        if !hasLogged.exchange(true, ordering: .relaxed) {
          logger.warning("\(name): a message interrupt cannot be set up: \(error)")
        }
        return
      }
    }
    guard state.isPending, let interrupt = state.interrupt else { return }
    state.isPending = false
    interrupt.event.signal()
  }

  private func route(_ state: inout MSIXVector.State) throws {
    let interrupt = try state.interrupt ?? allocator.makeMessageInterrupt()
    state.interrupt = interrupt
    try interrupt.route(state.message)
    state.routed = state.message
  }
}

/// One vector: its table entry, its pending bit and its way into the machine.
final class MSIXVector: Sendable {
  struct State {
    /// What the guest wrote.
    var message = InterruptMessage(address: 0, data: 0)
    var isMasked = true
    var isPending = false
    /// Made when first needed, then kept.
    var interrupt: (any MessageInterrupt)?
    /// What the interrupt sends now; `nil` before the first route and after one that failed.
    var routed: InterruptMessage?
  }

  /// The vector's number.
  let index: UInt16
  let state = Mutex(State())

  init(index: UInt16) { self.index = index }
}
