/// A queue: what is appended first is taken first, each in constant time on average.
struct Fifo<Element> {
  private var storage: [Element?] = []
  private var head = 0

  var count: Int { storage.count - head }
  var isEmpty: Bool { count == 0 }
  var first: Element? { isEmpty ? nil : storage[head] }

  mutating func append(_ element: Element) { storage.append(element) }

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
