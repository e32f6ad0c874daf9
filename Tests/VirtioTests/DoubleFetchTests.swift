import GuestMemory
import Platform
import Synchronization
import Testing
import Virtio
import VirtioTesting

@Suite("A guest that changes its memory meanwhile")
struct DoubleFetchTests {
  /// Runs `body` again and again while another thread, as a second processor of the guest, runs `attack`.
  private func race(rounds: Int, attack: @escaping @Sendable (UInt64) -> Void, _ body: (Int) throws -> Void) throws {
    let stopper = Stopper()
    let thread = try PThread(name: "attacker") {
      var turn: UInt64 = 0
      while !stopper.flag.load(ordering: .relaxed) {
        attack(turn)
        turn &+= 1
      }
    }
    defer {
      stopper.flag.store(true, ordering: .relaxed)
      thread.join()
    }
    for round in 0..<rounds { try body(round) }
  }

  private final class Stopper: Sendable { let flag = Atomic<Bool>(false) }

  @Test("descriptors rewritten while they are read give a sound chain or an error", arguments: Format.allCases)
  func rewrittenDescriptors(format: Format) throws {
    let memory = try QueueBench.memory()
    let layout = try QueueBench(format, memory: memory).driver.configuration
    let evil = SplitMixTable()
    try race(
      rounds: 3000,
      attack: { turn in
        let offset = evil[turn] % 128
        try? memory.store(evil[turn &* 7], at: GuestAddress(layout.descriptorArea.rawValue + (offset & ~7)))
      },
      { _ in
        let bench = try QueueBench(format, memory: memory)
        _ = try bench.driver.submit(readable: [[1, 2], [3]], writable: [4])
        var chain = DescriptorChain()
        var taken = 0
        while (try? bench.queue.next(into: &chain)) == true {
          taken += 1
          expectSound(chain, size: bench.queue.size)
          bench.queue.complete(chain.id, written: 0)
          // Each chain takes an entry of a ring of eight; the attacker may make each look available once a lap.
          if taken > 1000 { break }
        }
        bench.queue.notify()
        _ = try? bench.queue.enableNotifications()
      })
  }

  @Test("an indirect table rewritten while it is read gives a sound chain or an error", arguments: Format.allCases)
  func rewrittenTable(format: Format) throws {
    let memory = try QueueBench.memory()
    let evil = SplitMixTable()
    let table: UInt64 = 0x8000
    try race(
      rounds: 3000, attack: { turn in try? memory.store(evil[turn], at: GuestAddress(table + (turn % 16) * 8)) },
      { _ in
        let bench = try QueueBench(format, memory: memory)
        let good = RawDescriptor.readable(0x1000, 8)
        try memory.write(format == .split ? good.splitBytes : good.packedBytes, at: GuestAddress(table))
        if try bench.refusal([.indirect(table, entries: 8)]) == nil { #expect(!bench.queue.isBroken) }
      })
  }

  @Test("a length that changes between the check and the use does not change what was checked")
  func changedLength() throws {
    let memory = try QueueBench.memory()
    let layout = try QueueBench(.split, memory: memory).driver.configuration
    // The length of descriptor 0 alternates between one byte and as many as reach far beyond guest memory.
    let length = GuestAddress(layout.descriptorArea.rawValue + 8)
    try race(
      rounds: 20000, attack: { turn in try? memory.store(turn & 1 == 0 ? UInt32(1) : UInt32.max, at: length) },
      { _ in
        let bench = try QueueBench(.split, memory: memory)
        let error = try bench.refusal([.readable(QueueBench.lowEnd - 1, 1)])
        if let error { #expect(error == .bufferOutsideMemory(GuestAddress(QueueBench.lowEnd - 1), count: .max)) }
      })
  }

  @Test("indices rewritten all the time end in an error, not in endless work")
  func rewrittenIndices() throws {
    let memory = try QueueBench.memory()
    let layout = try QueueBench(.split, memory: memory).driver.configuration
    try race(
      rounds: 2000,
      attack: { turn in try? memory.store(UInt16(truncatingIfNeeded: turn), at: GuestAddress(layout.driverArea.rawValue + 2)) },
      { _ in
        let bench = try QueueBench(.split, memory: memory)
        for slot in 0..<8 { try (bench.driver as? SplitDriver)?.write(.readable(), at: slot) }
        var chain = DescriptorChain()
        var taken = 0
        while (try? bench.queue.next(into: &chain)) == true { taken += 1 }
        // The ring's entries all name head 0, which cannot be in flight twice.
        #expect(taken <= 1)
      })
  }

  private func expectSound(_ chain: DescriptorChain, size: UInt16) {
    #expect(chain.readable.count + chain.writable.count <= Int(size))
    #expect(chain.readable.reduce(0) { $0 + UInt64($1.count) } == chain.readableBytes)
    #expect(chain.writable.reduce(0) { $0 + UInt64($1.count) } == chain.writableBytes)
    #expect(chain.id < size)
    var reader = ChainReader(chain)
    _ = try? reader.read(UInt64.self)
  }
}

/// Words that look like parts of descriptors, some good, most evil; the same for all threads.
private struct SplitMixTable: Sendable {
  private let words: [UInt64]

  init() {
    var generator = SplitMix(state: 1)
    words = (0..<1024).map { index in
      let random = generator.next()
      switch index % 4 {
      case 0: return random % QueueBench.lowEnd
      case 1: return random
      // Length up to 64 KiB, flags of three bits, link below ten.
      case 2: return random & 0xffff | (random >> 20 & 7) << 32 | (random >> 40) % 10 << 48
      default: return random & 0xffff | (random >> 40) % 10 << 32 | (random >> 20 & 0x8087) << 48
      }
    }
  }

  subscript(index: UInt64) -> UInt64 { words[Int(index % 1024)] }
}
