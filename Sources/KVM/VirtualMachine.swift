internal import CLinux
internal import Glibc
internal import Platform
internal import Synchronization

/// One virtual machine of the kernel: its memory slots, interrupt controllers and routes.
public final class VirtualMachine: Sendable {
  /// The descriptor's number; -1, of which the kernel refuses everything, once the machine was given back.
  private let number: Atomic<Int32>
  private let runSize: Int
  /// The number of pages of each slot, for the size of its dirty log.
  private let slotPages = Mutex<[UInt32: Int]>([:])

  init(descriptor: consuming OwnedDescriptor, runSize: Int) {
    number = Atomic(descriptor.release())
    self.runSize = runSize
  }

  deinit { end() }

  /// Gives the machine back to the kernel, whoever still knows it; every request is refused from here on. The kernel's part of it ends with
  /// the last `VirtualCPU`.
  ///
  /// To be called when nobody makes requests any more. A process that leaves it to its exit waits there, often for many milliseconds:
  /// the kernel then takes the machine and the memory under it apart at the same time, and each waits for the other's readers.
  public func end() {
    let former = number.exchange(-1, ordering: .acquiringAndReleasing)
    if former >= 0 { _ = close(former) }
  }

  private var descriptor: Int32 { number.load(ordering: .relaxed) }

  // MARK: Memory

  /// Maps host memory into the guest, or changes a slot; a size of zero removes it (KVM_SET_USER_MEMORY_REGION).
  ///
  /// - Parameters:
  ///   - slot: The slot's number.
  ///   - guestAddress: Page-aligned.
  ///   - size: In bytes, page-aligned.
  ///   - hostAddress: In this process; must stay mapped while the slot exists.
  ///   - flags: KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY.
  public func setMemory(slot: UInt32, guestAddress: UInt64, size: UInt64, hostAddress: UInt64, flags: UInt32 = 0) throws(KVMError) {
    var region = kvm_userspace_memory_region(
      slot: slot, flags: flags, guest_phys_addr: guestAddress, memory_size: size, userspace_addr: hostAddress)
    // Under the lock, so that no dirty log is fetched for a slot that is just being made larger.
    try slotPages.withLock { slotPages throws(KVMError) in
      try kvmRequest(descriptor, clinux_KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", &region)
      slotPages[slot] = size > 0 ? Int(size / 4096) : nil
    }
  }

  /// The pages of a slot that vCPUs wrote since the last call, a bit a page, least significant first; the kernel then forgets them.
  ///
  /// - Throws: `KVMError.request`, with ENOENT for a slot without memory or without KVM_MEM_LOG_DIRTY_PAGES.
  public func takeDirtyLog(slot: UInt32) throws(KVMError) -> [UInt64] {
    try slotPages.withLock { slotPages throws(KVMError) in
      guard let pages = slotPages[slot] else { throw .request(SystemError("KVM_GET_DIRTY_LOG", code: ENOENT)) }
      return try fetchDirtyLog(slot: slot, pages: pages)
    }
  }

  /// - Parameter pages: Not fewer than the slot has, for the kernel writes a bit for each.
  private func fetchDirtyLog(slot: UInt32, pages: Int) throws(KVMError) -> [UInt64] {
    var bits = [UInt64](repeating: 0, count: (pages + 63) / 64)
    let outcome: Result<Void, KVMError> = unsafe bits.withUnsafeMutableBufferPointer { buffer in
      var log = unsafe kvm_dirty_log()
      unsafe log.slot = slot
      // The kernel writes one bit a page of the slot, rounded up to 64: the buffer's size.
      unsafe log.dirty_bitmap = UnsafeMutableRawPointer(buffer.baseAddress)
      do throws(KVMError) {
        try unsafe kvmRequest(descriptor, clinux_KVM_GET_DIRTY_LOG, "KVM_GET_DIRTY_LOG", &log)
        return .success(())
      } catch { return .failure(error) }
    }
    try outcome.get()
    return bits
  }

  // MARK: Interrupt controllers

  /// Sets where the kernel may keep three pages that Intel processors need for real mode.
  public func setTaskStateAddress(_ address: UInt64) throws(KVMError) {
    try kvmRequest(descriptor, clinux_KVM_SET_TSS_ADDR, "KVM_SET_TSS_ADDR", value: UInt(address))
  }

  /// Sets where the kernel may keep the page of the identity map that Intel processors need for real mode.
  public func setIdentityMapAddress(_ address: UInt64) throws(KVMError) {
    var address = address
    try kvmRequest(descriptor, clinux_KVM_SET_IDENTITY_MAP_ADDR, "KVM_SET_IDENTITY_MAP_ADDR", &address)
  }

  /// Makes PIC, IOAPIC and local APICs in the kernel.
  public func createInterruptController() throws(KVMError) {
    try kvmRequest(descriptor, clinux_KVM_CREATE_IRQCHIP, "KVM_CREATE_IRQCHIP")
  }

  /// Switches a capability on (KVM_ENABLE_CAP).
  public func enable(capability: Int32, argument: UInt64 = 0) throws(KVMError) {
    var request = kvm_enable_cap()
    request.cap = UInt32(capability)
    request.args.0 = argument
    try kvmRequest(descriptor, clinux_KVM_ENABLE_CAP, "KVM_ENABLE_CAP", &request)
  }

  /// Makes local APICs in the kernel and leaves the IOAPIC, with `pins` inputs, to the VMM.
  public func enableSplitInterruptController(pins: UInt64) throws(KVMError) {
    try enable(capability: KVM_CAP_SPLIT_IRQCHIP, argument: pins)
  }

  /// Sets the level of an input of the interrupt controllers.
  public func setInterruptLine(_ line: UInt32, high: Bool) throws(KVMError) {
    var level = kvm_irq_level()
    level.irq = line
    level.level = high ? 1 : 0
    try kvmRequest(descriptor, clinux_KVM_IRQ_LINE, "KVM_IRQ_LINE", &level)
  }

  /// Sends a message interrupt at once.
  ///
  /// - Returns: Whether a processor took it.
  @discardableResult
  public func sendMessage(address: UInt64, data: UInt32) throws(KVMError) -> Bool {
    var message = kvm_msi()
    message.address_lo = UInt32(truncatingIfNeeded: address)
    message.address_hi = UInt32(truncatingIfNeeded: address >> 32)
    message.data = data
    return try kvmRequest(descriptor, clinux_KVM_SIGNAL_MSI, "KVM_SIGNAL_MSI", &message) > 0
  }

  /// Replaces the whole table of interrupt routes.
  public func setRoutes(_ routes: [InterruptRoute]) throws(KVMError) {
    try kvmRequest(descriptor, clinux_KVM_SET_GSI_ROUTING, "KVM_SET_GSI_ROUTING", list: routes.map(\.entry))
  }

  // MARK: Events

  /// From now on `trigger` raises interrupt `line`; with `resample` the line is a level, lowered and reported at each acknowledgement.
  public func attachInterrupt(line: UInt32, trigger: Int32, resample: Int32? = nil) throws(KVMError) {
    var request = kvm_irqfd()
    request.fd = UInt32(bitPattern: trigger)
    request.gsi = line
    if let resample {
      request.flags = UInt32(KVM_IRQFD_FLAG_RESAMPLE)
      request.resamplefd = UInt32(bitPattern: resample)
    }
    try kvmRequest(descriptor, clinux_KVM_IRQFD, "KVM_IRQFD", &request)
  }

  /// Undoes `attachInterrupt`.
  public func detachInterrupt(line: UInt32, trigger: Int32) throws(KVMError) {
    var request = kvm_irqfd()
    request.fd = UInt32(bitPattern: trigger)
    request.gsi = line
    request.flags = UInt32(KVM_IRQFD_FLAG_DEASSIGN)
    try kvmRequest(descriptor, clinux_KVM_IRQFD, "KVM_IRQFD", &request)
  }

  /// What a guest's write must look like to signal an event.
  public struct Doorbell: Hashable, Sendable {
    /// A port, or a guest-physical address.
    public var address: UInt64
    /// Whether `address` is a port.
    public var isPort: Bool
    /// The width that a write must have, in bytes; zero for any.
    public var width: UInt32
    /// The value that a write must have; `nil` for any.
    public var value: UInt64?

    /// Describes a doorbell.
    public init(address: UInt64, isPort: Bool = false, width: UInt32 = 0, value: UInt64? = nil) {
      self.address = address
      self.isPort = isPort
      self.width = width
      self.value = value
    }

    func request(event: Int32, detach: Bool) -> kvm_ioeventfd {
      var request = kvm_ioeventfd()
      request.addr = address
      request.len = width
      request.fd = event
      if isPort { request.flags |= UInt32(1 << kvm_ioeventfd_flag_nr_pio) }
      if detach { request.flags |= UInt32(1 << kvm_ioeventfd_flag_nr_deassign) }
      if let value {
        request.datamatch = value
        request.flags |= UInt32(1 << kvm_ioeventfd_flag_nr_datamatch)
      }
      return request
    }
  }

  /// From now on a write that matches signals `event` and leaves the guest running.
  public func attachDoorbell(_ doorbell: Doorbell, event: Int32) throws(KVMError) {
    var request = doorbell.request(event: event, detach: false)
    try kvmRequest(descriptor, clinux_KVM_IOEVENTFD, "KVM_IOEVENTFD", &request)
  }

  /// Undoes `attachDoorbell`.
  public func detachDoorbell(_ doorbell: Doorbell, event: Int32) throws(KVMError) {
    var request = doorbell.request(event: event, detach: true)
    try kvmRequest(descriptor, clinux_KVM_IOEVENTFD, "KVM_IOEVENTFD", &request)
  }

  // MARK: Processors

  /// Makes a processor.
  ///
  /// - Parameter identifier: Its number, which on x86 is its APIC ID.
  public func makeProcessor(identifier: Int) throws(KVMError) -> VirtualCPU {
    let number = try kvmRequest(descriptor, clinux_KVM_CREATE_VCPU, "KVM_CREATE_VCPU", value: UInt(identifier))
    let owned = OwnedDescriptor(owning: Int32(number))
    do {
      let run = try MemoryMapping.map(descriptor: owned.number, count: runSize, sharing: .shared)
      return VirtualCPU(machine: self, descriptor: owned, run: run, identifier: identifier)
    } catch { throw .request(error) }
  }
}
