internal import Glibc
internal import GuestMemory

/// The answers that wait for an interrupt.
struct HeldAnswers {
  /// The most requests and bytes that wait: whoever works that hard is told, so that both sides work at the same time.
  static let most = (requests: 16, bytes: UInt64(256) << 10)

  private(set) var requests = 0
  private var bytes: UInt64 = 0

  var isEmpty: Bool { requests == 0 }

  /// Whether there are answers, fewer than so many, and no large ones.
  func mayWait(for count: Int) -> Bool { !isEmpty && requests < count && bytes < HeldAnswers.most.bytes }

  mutating func add(bytes: UInt64) {
    requests += 1
    let (sum, overflow) = self.bytes.addingReportingOverflow(bytes)
    self.bytes = overflow ? .max : sum
  }

  mutating func removeAll() {
    requests = 0
    bytes = 0
  }

  /// Looks so many times for company, then lets other threads run.
  static func look(times: Int, _ hasMore: () -> Bool) -> Bool {
    for _ in 0..<times {
      if hasMore() { return true }
      pauseBetweenLooks()
    }
    sched_yield()
    return false
  }
}
