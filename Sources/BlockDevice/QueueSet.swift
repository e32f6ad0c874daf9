internal import Platform
internal import Virtio

/// The queues that one thread serves, as if they were one: it takes from each in turn.
///
/// A queue in which the driver made a mistake is given up, and the others go on.
struct QueueSet {
  /// How many chains of a queue are taken before the next queue has its turn.
  private static let budget = 64

  private let queues: [VirtQueue]
  private var current = 0
  private var taken = 0

  /// - Parameter queues: From 1 to 256; nobody else uses them.
  init(_ queues: [VirtQueue]) { self.queues = queues }

  /// The events by which the driver says that there is something to take.
  var doorbells: [Int32] { queues.map(\.doorbell.number) }

  /// How many chains may be under way in all of them.
  var size: Int { queues.reduce(0) { $0 + Int($1.size) } }

  /// Whether `next` would not be in vain.
  var hasNext: Bool { queues.contains { $0.hasNext } }

  /// Takes the next available chain.
  ///
  /// - Returns: The number of its queue, for `complete`; `nil` when no queue has one.
  mutating func next(into chain: inout DescriptorChain) -> UInt8? {
    if taken >= QueueSet.budget { endTurn() }
    for _ in queues.indices {
      if take(into: &chain) {
        taken += 1
        return UInt8(current)
      }
      endTurn()
    }
    return nil
  }

  /// Lets the next queue have its turn: also to be called when there are requests left that must wait for something.
  mutating func endTurn() {
    current = current + 1 < queues.count ? current + 1 : 0
    taken = 0
  }

  private func take(into chain: inout DescriptorChain) -> Bool {
    do { return try queues[current].next(into: &chain) } catch {
      queues[current].fail(error)
      return false
    }
  }

  /// Hands a chain back to the driver.
  func complete(_ id: UInt16, of queue: UInt8, written: UInt32) { queues[Int(queue)].complete(id, written: written) }

  /// Interrupts the driver for each queue of which it waits for an answer that was given since the last time.
  func notify() { for queue in queues { queue.notify() } }

  /// Tells the driver that doorbells are of no use for now.
  func disableNotifications() { for queue in queues { queue.disableNotifications() } }

  /// Asks for a doorbell when the driver makes something available, in whichever queue.
  ///
  /// - Returns: `true` when something became available before the driver could see that, in which case no doorbell may come.
  func enableNotifications() -> Bool {
    var isLate = false
    for queue in queues {
      do { isLate = try queue.enableNotifications() || isLate } catch { queue.fail(error) }
    }
    return isLate
  }

  /// Gives all queues up.
  func fail(_ reason: String) { for queue in queues { queue.fail(reason) } }
}
