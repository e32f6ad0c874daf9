internal import Interrupts

/// How an IOAPIC's input becomes a message (82093AA data sheet, section 3.2.4).
struct RedirectionEntry: Equatable {
  private enum Bit {
    static let level: UInt64 = 1 << 15
    static let masked: UInt64 = 1 << 16
    static let remoteRequest: UInt64 = 1 << 14
    /// The delivery status and the remote request are the controller's.
    static let readOnly: UInt64 = 1 << 12 | remoteRequest
  }

  /// After reset: masked, and nothing else.
  private(set) var rawValue = Bit.masked

  var isLevelTriggered: Bool { rawValue & Bit.level != 0 }
  var isMasked: Bool { rawValue & Bit.masked != 0 }
  var vector: UInt8 { UInt8(truncatingIfNeeded: rawValue) }

  /// A level-triggered interrupt was delivered and not acknowledged yet.
  var isAwaitingAcknowledgement: Bool {
    get { rawValue & Bit.remoteRequest != 0 }
    set { rawValue = newValue ? rawValue | Bit.remoteRequest : rawValue & ~Bit.remoteRequest }
  }

  /// Takes one half from the guest.
  mutating func write(high: Bool, _ value: UInt32) {
    let kept = high ? 0x0000_0000_ffff_ffff : 0xffff_ffff_0000_0000 | Bit.readOnly
    let written = high ? UInt64(value) << 32 : UInt64(value) & ~Bit.readOnly
    rawValue = rawValue & kept | written
    // An edge-triggered input waits for nobody.
    if !isLevelTriggered { isAwaitingAcknowledgement = false }
  }

  /// The message that a local APIC takes (Intel SDM volume 3, section 11.11): the entry's fields in another order.
  var message: InterruptMessage {
    let destination = rawValue >> 56 & 0xff
    let logical = rawValue >> 11 & 1
    let deliveryMode = UInt32(truncatingIfNeeded: rawValue >> 8 & 7)
    // Level-triggered messages are told apart by bit 15, and are "asserted" by bit 14.
    let trigger: UInt32 = isLevelTriggered ? 0xc000 : 0
    return InterruptMessage(address: 0xfee0_0000 | destination << 12 | logical << 2, data: trigger | deliveryMode << 8 | UInt32(vector))
  }
}
