/// Operations that have ended before anybody waited: a queue of fixed capacity, for no slot can end twice.
struct ReadyList {
  private var entries: [(slot: Int, code: Int32)]
  private var head = 0
  private(set) var count = 0

  init(depth: Int) { entries = [(slot: Int, code: Int32)](repeating: (slot: 0, code: 0), count: max(1, depth)) }

  mutating func append(slot: Int, code: Int32) {
    precondition(count < entries.count)
    var index = head + count
    if index >= entries.count { index -= entries.count }
    entries[index] = (slot: slot, code: code)
    count += 1
  }

  mutating func takeFirst() -> DiskEvent? {
    if count == 0 { return nil }
    let (slot, code) = entries[head]
    head = head + 1 == entries.count ? 0 : head + 1
    count -= 1
    return .ended(slot: slot, code: code)
  }

  mutating func removeAll() { count = 0 }
}
