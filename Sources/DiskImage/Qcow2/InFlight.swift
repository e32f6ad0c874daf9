internal import Synchronization

/// Counts requests that use places of the file without the image's lock, in two groups: those that began lately, and those before.
///
/// A freed cluster is used again only when no request is left that began before it was freed; otherwise a late write would land in what is
/// somebody else's by then.
final class InFlight: Sendable {
  private let even = Atomic<Int>(0)
  private let odd = Atomic<Int>(0)

  /// Counts a request in; the image's lock is held.
  func enter(_ epoch: UInt64) -> Bool {
    let isOdd = epoch & 1 == 1
    if isOdd { odd.add(1, ordering: .relaxed) } else { even.add(1, ordering: .relaxed) }
    return isOdd
  }

  /// Counts it out; no lock is needed.
  func leave(_ isOdd: Bool) {
    if isOdd { odd.subtract(1, ordering: .releasing) } else { even.subtract(1, ordering: .releasing) }
  }

  /// Whether a group has no request.
  func isEmpty(_ epoch: UInt64) -> Bool {
    (epoch & 1 == 1 ? odd.load(ordering: .acquiring) : even.load(ordering: .acquiring)) == 0
  }
}
