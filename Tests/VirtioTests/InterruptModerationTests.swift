import Synchronization
import Testing
import Virtio

@Suite struct InterruptModerationTests {
  /// A clock that goes a microsecond forward each time that somebody looks.
  private final class Clock: Sendable {
    let time = Mutex<UInt64>(0)
    func next() -> UInt64 {
      time.withLock {
        $0 += 1000
        return $0
      }
    }
  }

  /// A driver that never has more than `depth` requests under way, and makes the next available when the device looks: how many answers
  /// share each interrupt, and how many waits were vain.
  private func run(depth: Int, interrupts: Int) -> (shares: [Int], vain: Int) {
    let clock = Clock()
    var moderation = InterruptModeration(now: { clock.next() })
    var shares: [Int] = []
    var vain = 0
    for _ in 0..<interrupts {
      var held = 0
      repeat {
        moderation.add(bytes: 4096)
        held += 1
        guard moderation.mayHold else { break }
        let isMore = moderation.linger { held < depth }
        if !isMore { vain += 1 }
        guard isMore else { break }
      } while true
      moderation.tell {}
      #expect(!moderation.hasAnswers && !moderation.mayHold)
      shares.append(held)
    }
    return (shares, vain)
  }

  @Test("A driver with one request at a time is told at once, and more is tried ever more rarely") func single() {
    let (shares, vain) = run(depth: 1, interrupts: 1000)
    #expect(shares.allSatisfy { $0 == 1 })
    #expect((1...30).contains(vain))
  }

  @Test("A driver with many requests is told of 16 at a time, soon") func many() {
    let (shares, vain) = run(depth: 64, interrupts: 100)
    #expect(vain == 0)
    #expect(shares.first == 1)
    #expect(shares.dropFirst(12).allSatisfy { $0 == 16 })
  }

  @Test("A driver with some requests is told after half of them, rounded up", arguments: [2, 3, 4, 8]) func some(depth: Int) {
    let (shares, vain) = run(depth: depth, interrupts: 2000)
    #expect(shares.allSatisfy { $0 <= depth })
    #expect(vain <= 60)
    #expect(shares.count { $0 == (depth + 1) / 2 } >= 1900)
  }

  @Test("An answer waits for so many requests at most, whenever those end") func slowCompany() {
    let clock = Clock()
    var moderation = InterruptModeration(now: { clock.next() })
    // The driver is known to have many requests under way.
    for _ in 0..<100 {
      for _ in 0..<16 {
        moderation.add(bytes: 512)
        if moderation.mayHold { _ = moderation.linger { true } }
      }
      moderation.tell {}
    }
    moderation.add(bytes: 512)
    var waits = 0
    while moderation.mayHold, waits < 1000 {
      #expect(moderation.linger { true })
      waits += 1
    }
    #expect((1...16).contains(waits))
  }

  @Test("Many bytes do not wait, however large", arguments: [UInt64(256) << 10, .max]) func bytes(count: UInt64) {
    var moderation = InterruptModeration()
    for _ in 0..<100 {
      moderation.add(bytes: count)
      moderation.add(bytes: count)
      #expect(!moderation.mayHold)
      moderation.tell {}
    }
  }

  @Test(
    "A wait lasts as long as a few interrupts take, and a millisecond at most",
    arguments: [(UInt64(10), 80...81), (10_000_000, 1000...1001)])
  func patience(microseconds: UInt64, expected: ClosedRange<Int>) {
    let clock = Clock()
    var moderation = InterruptModeration(now: { clock.next() })
    moderation.add(bytes: 1)
    // Between the two looks of the one who measures.
    moderation.tell { clock.time.withLock { $0 += (microseconds - 1) * 1000 } }
    moderation.add(bytes: 1)
    var looks = 0
    #expect(
      !moderation.linger {
        looks += 1
        return false
      })
    // 32 looks a microsecond of this clock, and a last one.
    #expect(expected.contains(looks / 32))
  }

  @Test("A clock that goes backwards, and interrupts that take no time, stop nothing") func oddClocks() {
    let time = Mutex<UInt64>(.max)
    var moderation = InterruptModeration(now: {
      time.withLock { value in
        value -= 1; return value
      }
    })
    for _ in 0..<100 {
      moderation.add(bytes: 1)
      moderation.tell {}
      moderation.add(bytes: 1)
      _ = moderation.linger { false }
    }
    var still = InterruptModeration(now: { 7 })
    for _ in 0..<100 {
      still.add(bytes: 1)
      #expect(!still.linger { false })
      still.tell {}
    }
  }
}
