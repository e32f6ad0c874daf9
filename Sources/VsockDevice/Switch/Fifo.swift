/// A queue: what is appended first is taken first, each in constant time on average.
struct Fifo<Element> {
  private var storage: [Element?] = []
  private var head = 0
  /// At which count `append(_:unless:)` looks for what has died.
  private var sweepAt = 64

  var count: Int { storage.count - head }
  var isEmpty: Bool { count == 0 }
  var first: Element? { isEmpty ? nil : storage[head] }

  mutating func append(_ element: Element) { storage.append(element) }

  /// Appends, and drops elements that have died since they were appended: at most as many of them are here as of the living, and a few.
  mutating func append(_ element: Element, unless isDead: (Element) -> Bool) {
    if count >= sweepAt {
      storage = storage[head...].filter { $0.map { !isDead($0) } ?? false }
      head = 0
      // No overflow: elements take memory.
      sweepAt = 2 * storage.count + 64
    }
    storage.append(element)
  }

  /// Takes the first element; nil when there is none.
  mutating func popFirst() -> Element? {
    guard head < storage.count else { return nil }
    let element = storage[head]
    storage[head] = nil
    head += 1
    if head == storage.count {
      // A crowd that was here once does not keep its room.
      storage.removeAll(keepingCapacity: storage.capacity <= 64)
      head = 0
    } else if head >= 64, head >= storage.count / 2 {
      storage.removeSubrange(..<head)
      head = 0
    }
    return element
  }

  mutating func removeAll() { self = Fifo() }
}
