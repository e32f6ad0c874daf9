internal import Interrupts
internal import PCI
internal import Platform
internal import Synchronization

/// The device's way to the driver over PCI: MSI-X vectors where the driver uses them, else the interrupt line with its status byte.
///
/// Everything here is atomic, because workers call while the transport, under its own lock, waits for them to end.
final class VirtioPCIInterrupt: VirtioInterrupt {
  /// The vector of whoever shall not interrupt (virtio 1.2, section 4.1.5.1.2).
  static let noVector: UInt16 = 0xffff

  /// Bits of the interrupt status byte (section 4.1.4.5).
  private enum Cause {
    static let queue: UInt8 = 1
    static let configuration: UInt8 = 2
  }

  private final class Vector: Sendable {
    let number = Atomic<UInt16>(noVector)
  }

  let msix: MSIX
  private let line: LevelInterrupt?
  private let log: DeviceLog
  private let queueVectors: [Vector]
  private let configuration = Vector()
  private let statusBits = Atomic<UInt8>(0)
  private let generationCount = Atomic<UInt8>(0)
  private let causes = Atomic<UInt8>(0)
  /// Who else serves queues.
  private let borrowers = Mutex<[UInt16: @Sendable (EventFD?) -> Void]>([:])
  private let lineIsDisabled = Atomic<Bool>(false)

  init(msix: MSIX, line: LevelInterrupt?, queueCount: Int, log: DeviceLog) {
    self.msix = msix
    self.line = line
    self.log = log
    queueVectors = (0..<queueCount).map { _ in Vector() }
    msix.watch { [weak self] vector, event in self?.tellBorrowers(of: vector, event) }
  }

  // MARK: What workers call

  func signalUsed(queue: UInt16) {
    if msix.isEnabled {
      msix.signal(vector: vector(ofQueue: queue))
    } else {
      // The status byte counts only where there are no vectors (section 4.1.4.5.1).
      raise(Cause.queue)
    }
  }

  func lend(queue: UInt16, to handler: (@Sendable (EventFD?) -> Void)?) {
    borrowers.withLock { $0[queue] = handler }
    guard let handler else { return }
    handler(nil)
    msix.tell(vector: vector(ofQueue: queue))
  }

  /// A vector's message can be sent by another event now, or not at all.
  private func tellBorrowers(of vector: UInt16, _ event: EventFD?) {
    for (queue, handler) in borrowers.withLock({ $0 }) where self.vector(ofQueue: queue) == vector { handler(event) }
  }

  func signalConfigurationChange() {
    generationCount.wrappingAdd(1, ordering: .acquiringAndReleasing)
    tellConfiguration()
  }

  func deviceNeedsReset(_ reason: String) {
    let before = statusBits.bitwiseOr(DeviceStatus.needsReset.rawValue, ordering: .acquiringAndReleasing).oldValue
    guard !DeviceStatus(rawValue: before).contains(.needsReset) else { return }
    log.warning("the device stops until the driver resets it: \(reason)")
    // Only a driver that has said DRIVER_OK is told (section 2.1.2).
    if DeviceStatus(rawValue: before).contains(.driverOK) { tellConfiguration() }
  }

  private func tellConfiguration() {
    if msix.isEnabled {
      causes.bitwiseOr(Cause.configuration, ordering: .acquiringAndReleasing)
      msix.signal(vector: configurationVector)
    } else {
      raise(Cause.configuration)
    }
  }

  private func raise(_ cause: UInt8) {
    causes.bitwiseOr(cause, ordering: .acquiringAndReleasing)
    if !lineIsDisabled.load(ordering: .acquiring) { line?.signal() }
  }

  // MARK: What the transport calls

  /// Whether the function has a reason to hold its line, as the PCI status register shows it.
  var isAssertingLine: Bool { !msix.isEnabled && causes.load(ordering: .acquiring) != 0 }

  /// Takes the status byte, which reading clears.
  func takeCauses() -> UInt8 { causes.exchange(0, ordering: .acquiringAndReleasing) }

  /// Raises the line once more if there is still a reason: after the guest has acknowledged it, or has allowed it again.
  func resample() {
    if isAssertingLine, !lineIsDisabled.load(ordering: .acquiring) { line?.signal() }
  }

  /// Follows the command register's interrupt disable bit.
  func disableLine(_ isDisabled: Bool) {
    lineIsDisabled.store(isDisabled, ordering: .releasing)
    resample()
  }

  /// How far driver and device have come.
  var status: DeviceStatus { DeviceStatus(rawValue: statusBits.load(ordering: .acquiring)) }

  /// Adds to the status; only a reset takes away.
  func add(_ status: DeviceStatus) { statusBits.bitwiseOr(status.rawValue, ordering: .acquiringAndReleasing) }

  /// Counts the changes of the device's configuration.
  var generation: UInt8 { generationCount.load(ordering: .acquiring) }

  /// The vector of configuration changes.
  var configurationVector: UInt16 { configuration.number.load(ordering: .acquiring) }

  /// Sets the vector of configuration changes; one that does not exist counts as none.
  func setConfigurationVector(_ number: UInt16) { configuration.number.store(existing(number), ordering: .releasing) }

  /// The vector of a queue; none for a queue that does not exist.
  func vector(ofQueue queue: UInt16) -> UInt16 {
    Int(queue) < queueVectors.count ? queueVectors[Int(queue)].number.load(ordering: .acquiring) : VirtioPCIInterrupt.noVector
  }

  /// Sets the vector of a queue; one that does not exist counts as none.
  func setVector(_ number: UInt16, ofQueue queue: UInt16) {
    guard Int(queue) < queueVectors.count else { return }
    queueVectors[Int(queue)].number.store(existing(number), ordering: .releasing)
    if let handler = borrowers.withLock({ $0[queue] }) { lend(queue: queue, to: handler) }
  }

  private func existing(_ number: UInt16) -> UInt16 { Int(number) < msix.vectorCount ? number : VirtioPCIInterrupt.noVector }

  /// The state after a reset; the generation goes on, so that a driver that was interrupted half-way sees the change.
  func reset() {
    statusBits.store(0, ordering: .releasing)
    configuration.number.store(VirtioPCIInterrupt.noVector, ordering: .releasing)
    for vector in queueVectors { vector.number.store(VirtioPCIInterrupt.noVector, ordering: .releasing) }
    causes.store(0, ordering: .releasing)
    msix.clearPending()
  }

  /// What a snapshot keeps besides the vectors.
  var counters: (status: UInt8, generation: UInt8, causes: UInt8) { (status.rawValue, generation, causes.load(ordering: .acquiring)) }

  /// Takes over what a snapshot kept.
  func restore(status: UInt8, generation: UInt8, causes: UInt8) {
    statusBits.store(status, ordering: .releasing)
    generationCount.store(generation, ordering: .releasing)
    self.causes.store(causes & 3, ordering: .releasing)
  }
}
