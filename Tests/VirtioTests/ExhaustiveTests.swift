import GuestMemory
import Testing
import Virtio
import VirtioTesting

/// Small rings, all of them: every size, every starting place, every depth, checked step by step against a plain list.
@Suite("Every small ring")
struct ExhaustiveTests {
  /// A ring to try: its format, size and features.
  struct Kind: CustomStringConvertible, Sendable {
    let format: Format
    let size: UInt16
    let eventIndex: Bool
    var description: String { "\(format) \(size)\(eventIndex ? " with event index" : "")" }

    /// The starting places that matter: both laps of a packed ring, the wrap of a split one's index.
    var starts: [Int] {
      format == .packed ? Array(0..<2 * Int(size)) : Array(0..<Int(size)) + Array((65536 - 2 * Int(size))..<65536)
    }

    var features: UInt64 { QueueBench.usual | (eventIndex ? VirtioFeatures.eventIndex : 0) }
  }

  static let kinds: [Kind] =
    [1, 2, 4, 8].flatMap { size in [false, true].map { Kind(format: .split, size: size, eventIndex: $0) } }
    + (1...8).flatMap { size in [false, true].map { Kind(format: .packed, size: size, eventIndex: $0) } }

  @Test("requests of every depth go round and round, in order", arguments: kinds)
  func inOrder(kind: Kind) throws {
    let memory = try QueueBench.memory()
    for start in kind.starts {
      for depth in 1...Int(kind.size) {
        let bench = try QueueBench(kind.format, size: kind.size, features: kind.features, start: start, memory: memory)
        for round in 0..<(3 * Int(kind.size)) { try pass(bench, depth: depth, round: round) { $0 } }
      }
    }
  }

  @Test("requests that end in the opposite order go round and round", arguments: kinds)
  func reversed(kind: Kind) throws {
    let memory = try QueueBench.memory()
    for start in kind.starts {
      for depth in 1...Int(kind.size) {
        let bench = try QueueBench(kind.format, size: kind.size, features: kind.features, start: start, memory: memory)
        for round in 0..<(2 * Int(kind.size)) { try pass(bench, depth: depth, round: round) { $0.reversed() } }
      }
    }
  }

  /// Makes `depth` requests, takes them, ends them in some order, and finds them used in that order.
  private func pass(_ bench: QueueBench, depth: Int, round: Int, order: ([UInt16]) -> [UInt16]) throws {
    let made = try (0..<depth).map { _ in try bench.driver.submit(writable: [4]).id }
    var chain = DescriptorChain()
    for id in made {
      #expect(try bench.queue.next(into: &chain) && chain.id == id)
    }
    #expect(try bench.queue.next(into: &chain) == false)
    let ended = order(made)
    for id in ended { #expect(bench.queue.complete(id, written: UInt32(round))) }
    let before = bench.signals
    bench.queue.notify()
    #expect(bench.signals == before + 1)
    for id in ended { #expect(try bench.driver.poll() == UsedElement(id: id, written: UInt32(round))) }
    #expect(try bench.driver.poll() == nil)
    try bench.driver.wish(.next)
  }

  @Test("chains of every length, put back and taken again, go round and round", arguments: kinds)
  func chainLengths(kind: Kind) throws {
    let memory = try QueueBench.memory()
    for start in kind.starts {
      for length in 1...Int(kind.size) {
        let bench = try QueueBench(kind.format, size: kind.size, features: kind.features, start: start, memory: memory)
        for _ in 0..<(2 * Int(kind.size)) {
          let request = try bench.driver.submit(readable: (0..<length).map { [UInt8($0)] })
          #expect(bench.queue.putBack(try bench.take().id))
          let chain = try bench.take()
          #expect(chain.id == request.id && chain.readable.count == length)
          #expect(bench.queue.complete(chain.id, written: 0))
          #expect(try bench.driver.poll()?.id == request.id)
        }
      }
    }
  }

  @Test("an interrupt comes exactly when the entry that the driver named is used", arguments: kinds.filter(\.eventIndex))
  func everyEvent(kind: Kind) throws {
    let memory = try QueueBench.memory()
    for start in kind.starts {
      for after in 0..<Int(kind.size) {
        for batch in 1...Int(kind.size) {
          let bench = try QueueBench(kind.format, size: kind.size, features: kind.features, start: start, memory: memory)
          try bench.driver.wish(.after(UInt16(after)))
          let before = bench.signals
          try use(bench, count: batch)
          bench.queue.notify()
          #expect(bench.signals - before == (batch > after ? 1 : 0), "start \(start), event after \(after), batch of \(batch)")
        }
      }
    }
  }

  @Test("the driver rings exactly when the device waits for the entry", arguments: kinds)
  func everyDoorbell(kind: Kind) throws {
    let memory = try QueueBench.memory()
    for start in kind.starts {
      for batch in 1...Int(kind.size) {
        let bench = try QueueBench(kind.format, size: kind.size, features: kind.features, start: start, memory: memory)
        for _ in 0..<4 {
          #expect(try bench.queue.enableNotifications() == false)
          for index in 0..<batch {
            _ = try bench.driver.submit(readable: [[1]])
            let isWanted = try bench.driver.wantsDoorbell()
            #expect(isWanted || index > 0)
          }
          bench.queue.disableNotifications()
          #expect(try bench.queue.enableNotifications())
          for _ in 0..<batch { bench.queue.complete(try bench.take().id, written: 0) }
          while try bench.driver.poll() != nil {}
        }
      }
    }
  }

  @Test("every step of the driver's index is taken up to the size and refused beyond", arguments: kinds.filter { $0.format == .split })
  func everyIndexStep(kind: Kind) throws {
    let memory = try QueueBench.memory()
    for start in kind.starts {
      for step in Array(0...Int(kind.size) + 3) + [0x7fff, 0x8000, 0xfffe, 0xffff] {
        let bench = try QueueBench(kind.format, size: kind.size, features: kind.features, start: start, memory: memory)
        let split = try #require(bench.driver as? SplitDriver)
        for slot in 0..<Int(kind.size) {
          try split.write(.readable(), at: slot)
          try split.setAvailableEntry((start + slot) % Int(kind.size), UInt16(slot))
        }
        let index = UInt16(truncatingIfNeeded: start + step)
        try split.setAvailableIndex(index)
        var taken = 0
        var chain = DescriptorChain()
        if step <= Int(kind.size) {
          while try bench.queue.next(into: &chain) { taken += 1 }
          #expect(taken == step)
        } else {
          #expect(bench.refusal() == .indexJump(from: UInt16(start), to: index, size: kind.size))
        }
      }
    }
  }

  private func use(_ bench: QueueBench, count: Int) throws {
    for _ in 0..<count {
      _ = try bench.driver.submit(readable: [[1]])
      bench.queue.complete(try bench.take().id, written: 0)
      _ = try bench.driver.poll()
    }
  }
}
