public import Bus

/// The port by which a guest tells that its kernel panicked (QEMU's pvpanic, docs/specs/pvpanic).
public final class PanicPort: BusDevice, ByteRegisters {
  /// The port on a PC; the ACPI device QEMU0001 names it.
  public static let base: UInt64 = 0x505
  /// The number of ports.
  public static let length: UInt64 = 1

  /// What a guest may tell.
  public enum Event: Sendable {
    /// The kernel panicked, and halts or reboots as it is configured.
    case panicked
    /// The kernel panicked, and a crash kernel takes over.
    case crashLoaded
  }

  private static let panicked: UInt8 = 1 << 0
  private static let crashLoaded: UInt8 = 1 << 1
  private let onPanic: @Sendable (Event) -> Void

  /// Makes the port.
  ///
  /// - Parameter onPanic: Called on a vCPU's thread each time the guest tells of a panic; it must not block.
  public init(onPanic: @escaping @Sendable (Event) -> Void) { self.onPanic = onPanic }

  /// The events that can be told.
  package func readByte(_ offset: UInt64) -> UInt8 { offset == 0 ? PanicPort.panicked | PanicPort.crashLoaded : 0xff }

  package func writeByte(_ offset: UInt64, _ value: UInt8) {
    guard offset == 0 else { return }
    if value & PanicPort.panicked != 0 {
      onPanic(.panicked)
    } else if value & PanicPort.crashLoaded != 0 {
      onPanic(.crashLoaded)
    }
  }
}
