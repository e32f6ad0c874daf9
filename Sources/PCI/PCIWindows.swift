public import Bus

/// The addresses in which the machine lets PCI devices answer. RAM is never part of one.
public struct PCIWindows: Hashable, Sendable {
  /// Memory below 4 GiB.
  public var memory32: BusRange
  /// Memory above RAM and 4 GiB, if the machine has it.
  public var memory64: BusRange?
  /// Ports, if devices may have them.
  public var ports: BusRange?

  /// Gathers the windows.
  public init(memory32: BusRange, memory64: BusRange? = nil, ports: BusRange? = nil) {
    self.memory32 = memory32
    self.memory64 = memory64
    self.ports = ports
  }

  /// The windows in which a register's range may lie.
  func windows(for kind: BAR.Kind) -> [BusRange] {
    switch kind {
    case .memory32, .memory64: [memory32] + (memory64.map { [$0] } ?? [])
    case .ports: ports.map { [$0] } ?? []
    }
  }

  /// Whether a guest may place a register's range here.
  func allow(_ range: BusRange, for kind: BAR.Kind) -> Bool {
    windows(for: kind).contains { $0.base <= range.base && range.last <= $0.last }
  }
}
