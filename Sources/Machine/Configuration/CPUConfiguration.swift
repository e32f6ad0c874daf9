internal import Platform

/// The virtual CPUs.
public struct CPUConfiguration: Sendable, Equatable {
  /// How many there are, 1 to 32.
  public var count: Int

  /// Which CPUs of the host they may run on, `nil` for all that the process may use.
  public var affinity: CPUAffinity?

  /// Makes the configuration of a number of virtual CPUs.
  ///
  /// - Parameters:
  ///   - count: How many there are, 1 to 32.
  ///   - affinity: Which CPUs of the host they may run on.
  public init(count: Int = 1, affinity: CPUAffinity? = nil) {
    self.count = count
    self.affinity = affinity
  }

  /// How many virtual CPUs a machine may have.
  public static let counts = 1...32

  /// The numbers that CPUs of the host may have: those of the kernel's fixed-size set, CPU_SET(3).
  public static let hostCPUs = 0...1023

  func validate() throws(ConfigurationError) {
    guard CPUConfiguration.counts.contains(count) else { throw .cpuCount(count) }
    switch affinity {
    case nil: break
    case .all(let hostCPUs):
      try CPUConfiguration.validate(hostCPUs)
    case .each(let sets):
      for (cpu, hostCPUs) in sets.sorted(by: { $0.key < $1.key }) {
        guard (0..<count).contains(cpu) else { throw .affinityOfMissingCPU(cpu, count: count) }
        try CPUConfiguration.validate(hostCPUs)
      }
    }
  }

  private static func validate(_ set: Set<Int>) throws(ConfigurationError) {
    guard !set.isEmpty else { throw .emptyAffinity }
    let usable = PThread.affinity
    for cpu in set.sorted() where !hostCPUs.contains(cpu) || !usable.isEmpty && !usable.contains(cpu) {
      throw .hostCPU(cpu, usable: usable)
    }
  }
}

/// Which CPUs of the host the virtual CPUs may run on.
public enum CPUAffinity: Sendable, Equatable {
  /// Every virtual CPU may run on any of these.
  case all(Set<Int>)
  /// The virtual CPU of each key may run on its set only; the others are not bound.
  case each([Int: Set<Int>])

  /// The set for one virtual CPU, `nil` where it is not bound.
  ///
  /// - Parameter cpu: The number of the virtual CPU, from 0.
  public subscript(cpu: Int) -> Set<Int>? {
    switch self {
    case .all(let set): set
    case .each(let sets): sets[cpu]
    }
  }
}
