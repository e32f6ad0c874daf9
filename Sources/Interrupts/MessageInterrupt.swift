public import Platform

/// What an MSI or MSI-X vector writes, and where: the two values that the guest programs.
public struct InterruptMessage: Hashable, Sendable {
  /// The guest-physical address of the write, which names the destination (x86: 0xfee.....).
  public var address: UInt64
  /// The value written, which names the vector.
  public var data: UInt32

  /// Makes a message.
  public init(address: UInt64, data: UInt32) {
    self.address = address
    self.data = data
  }
}

/// A message interrupt that the machine made for one MSI-X vector: signalling `event` sends the routed message.
public protocol MessageInterrupt: AnyObject, Sendable {
  /// Sends the message when signalled; attached to the kernel as irqfd, so nobody of the VMM is involved.
  var event: EventFD { get }

  /// Makes `event` send this message from now on; called when the guest programs or unmasks the vector, on a vCPU thread.
  func route(_ message: InterruptMessage) throws
}

/// Makes message interrupts: the machine's side of MSI-X.
public protocol MessageInterruptAllocator: AnyObject, Sendable {
  /// Makes an interrupt that sends nothing until it is routed.
  ///
  /// - Throws: When the machine has no free interrupt route left or the kernel refuses.
  func makeMessageInterrupt() throws -> any MessageInterrupt
}
