/// Those who wait for something, each until a time, of which a later one's is never earlier. One that has ceased to wait is forgotten.
struct Deadlines<Subject> {
  private var entries = Fifo<(subject: Subject, time: UInt64)>()
  private let isWaiting: (Subject) -> Bool

  /// - Parameter isWaiting: Whether one still waits.
  init(while isWaiting: @escaping (Subject) -> Bool) { self.isWaiting = isWaiting }

  var count: Int { entries.count }

  /// When the first one's time comes, by the clock of who added it; it may have ceased to wait.
  var nextTime: UInt64? { entries.first?.time }

  /// Adds one.
  mutating func append(_ subject: Subject, until time: UInt64) { entries.append((subject, time)) { !isWaiting($0.subject) } }

  /// Takes the next one that waits and whose time has come; nil when there is none.
  mutating func popOverdue(now: UInt64) -> Subject? {
    while let (subject, time) = entries.first {
      let waits = isWaiting(subject)
      if waits, time > now { return nil }
      _ = entries.popFirst()
      if waits { return subject }
    }
    return nil
  }

  /// Forgets all.
  mutating func removeAll() { entries.removeAll() }
}
