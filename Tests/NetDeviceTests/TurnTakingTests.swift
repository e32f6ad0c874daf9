import Testing

@testable import NetDevice

@Suite("Whether a thread that is woken waits for its turn") struct TurnTakingTests {
  /// A thread that is woken so many times in a second, and does so much each time, as long as it goes at once or waits.
  private struct Load {
    var wakes: (atOnce: UInt64, waiting: UInt64)
    var work: (atOnce: UInt64, waiting: UInt64)
  }

  /// The part of the time in which it waits, of some seconds, and how often it changes its mind.
  private func run(_ load: Load, seconds: UInt64 = 20) -> (waiting: Double, changes: Int) {
    var turns = TurnTaking(now: 0)
    var (now, served, waiting) = (UInt64(0), UInt64(0), UInt64(0))
    var changes = 0
    while now < seconds * 1_000_000_000 {
      let step = 1_000_000_000 / (turns.waits ? load.wakes.waiting : load.wakes.atOnce)
      if turns.waits { waiting += step }
      now += step
      served &+= turns.waits ? load.work.waiting : load.work.atOnce
      if turns.woken(served: served, now: now) { changes += 1 }
    }
    return (Double(waiting) / Double(now), changes)
  }

  @Test("Who does more when it waits, waits") func gain() {
    let run = run(Load(wakes: (1500, 400), work: (65536, 500_000)))
    #expect(run.waiting > 0.7, "\(run)")
  }

  @Test("Who does less when it waits goes at once, but for trials that become rare") func loss() {
    let run = run(Load(wakes: (5000, 300), work: (4096, 4096)))
    #expect(run.waiting < 0.03 && run.changes > 2, "\(run)")
  }

  @Test("Who does the same goes at once") func same() {
    let run = run(Load(wakes: (1000, 1000), work: (100, 100)))
    #expect(run.waiting < 0.05, "\(run)")
  }

  @Test("Who has little to do goes at once, and nothing is tried") func idle() {
    let run = run(Load(wakes: (20, 20), work: (1000, 100_000)))
    #expect(run.waiting == 0 && run.changes == 0, "\(run)")
  }

  @Test("Who waited and has nothing more to do goes at once from the next time on") func pause() {
    var turns = TurnTaking(now: 0)
    var (now, served) = (UInt64(0), UInt64(0))
    while !turns.waits {
      now += 1_000_000
      served += 1000
      _ = turns.woken(served: served, now: now)
    }
    now += 10_000_000_000
    #expect(turns.woken(served: served, now: now) && !turns.waits)
    // The count of what was done may start anew.
    for _ in 0..<1000 {
      now += 1_000_000
      _ = turns.woken(served: .max &- served, now: now)
    }
  }
}
