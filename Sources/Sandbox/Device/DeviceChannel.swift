package import Logging
package import Platform
internal import Synchronization

/// The VMM's end of the connection to a device's process: one request at a time, each with an answer or an end of patience.
///
/// A process that does not answer in time counts as hung: requests are not even sent until the late answer is there. So a guest waits for a
/// hung device once, and gets nothing from it afterwards.
package final class DeviceChannel: Sendable {
  /// Serves what the device needs of the machine.
  typealias Host = @Sendable (HostRequest, [DescriptorBox]) -> (answer: HostAnswer, descriptor: Int32?)

  private struct State {
    var host: Host?
    var number: UInt32 = 0
    /// The request that was given up and not answered since.
    var overdue: UInt32?
    var isClosed = false
  }

  /// How long the VMM waits for an answer, in milliseconds.
  package struct Patience: Sendable {
    /// For an access of the guest: an idle host answers in microseconds, a slow disk may hold up a reset.
    package var access: Int32 = 5000
    /// Until the device has answered all requests of its driver.
    package var suspension: Int32 = 10_000

    /// As long as a machine waits.
    package init() {}
  }

  /// The most needs that are served when an answer is only looked for, not waited for.
  private static let mostLateNeeds = 64
  /// Longer than any message of a device but its answers to orders.
  private static let longestMessage = 8192

  private let name: String
  private let connection: PacketSocket
  private let logger: Logger
  private let patience: Patience
  private let isEnding = Atomic<Bool>(false)
  /// How often a wait looks whether it is worth going on, in milliseconds.
  private static let slice: Int32 = 100
  private let state = Mutex(State())

  package init(name: String, connection: PacketSocket, logger: Logger, patience: Patience = Patience()) {
    self.name = name
    self.connection = connection
    self.logger = logger
    self.patience = patience
  }

  /// Makes accesses give up: the machine ends, and no guest waits any more.
  func end() { isEnding.store(true, ordering: .releasing) }

  /// Sets who serves the device's needs; before the guest runs.
  func setHost(_ host: @escaping Host) { state.withLock { $0.host = host } }

  /// Waits for the first message.
  package func waitUntilReady(milliseconds: Int32) throws -> DeviceMessage? {
    try state.withLock { state in
      switch try connection.receive(milliseconds: milliseconds, limit: Self.longestMessage) {
      case .packet(let packet): return try DeviceMessage(packet.bytes)
      case .closed:
        state.isClosed = true
        return nil
      case .nothing: throw DeviceRefusal(description: "it was not ready after \(milliseconds / 1000) seconds")
      }
    }
  }

  /// Sends a request and waits for its answer.
  ///
  /// - Parameter milliseconds: How long; `nil` for what this kind of request may take.
  /// - Returns: `nil` where there is none: the process has gone, or is hung.
  func call(_ request: DeviceRequest, milliseconds: Int32? = nil) -> DeviceMessage? {
    let milliseconds = milliseconds ?? (request == .suspend ? patience.suspension : patience.access)
    return state.withLock { state in
      guard !state.isClosed else { return nil }
      if let overdue = state.overdue {
        guard answer(to: overdue, milliseconds: 0, &state) != nil else { return nil }
        state.overdue = nil
        logger.warning("\(name): the device's process answers again")
      }
      state.number &+= 1
      let number = state.number
      // Never waits: at most one request is under way.
      do throws(SystemError) { try connection.send(request.encoded(number: number), mayWait: false) } catch {
        state.isClosed = true
        return nil
      }
      if let answer = answer(to: number, milliseconds: milliseconds, isFinal: request == .stop, &state) { return answer }
      guard !state.isClosed else { return nil }
      state.overdue = number
      guard !isEnding.load(ordering: .acquiring) else { return nil }
      logger.error(
        "\(name): the device's process has not answered for \(milliseconds) ms; the guest reads all ones until it does")
      return nil
    }
  }

  /// Waits for an answer and serves the device meanwhile.
  ///
  /// - Parameter isFinal: Whether to wait although the machine ends.
  private func answer(to number: UInt32, milliseconds: Int32, isFinal: Bool = false, _ state: inout State) -> DeviceMessage? {
    let deadline = monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
    var served = 0
    while true {
      let now = monotonicNanoseconds()
      let rest = deadline > now ? Int32(clamping: (deadline - now) / 1_000_000 + 1) : 0
      do {
        switch try connection.receive(milliseconds: min(rest, Self.slice), limit: Self.longestMessage) {
        case .nothing:
          guard rest > Self.slice, isFinal || !isEnding.load(ordering: .acquiring) else { return nil }
        case .closed:
          state.isClosed = true
          return nil
        case .packet(let packet):
          let message = try DeviceMessage(packet.bytes)
          switch message {
          case .value(_, number), .bytes(_, number), .refused(_, number): return message
          case .need(let need):
            try serve(need, packet.descriptors, state)
            served += 1
          default: throw MalformedBytes("an answer to nothing")
          }
        }
        // One that asks without end is as good as one that hangs.
        if deadline <= now, milliseconds > 0 || served >= Self.mostLateNeeds { return nil }
      } catch {
        logger.error("\(name): the device's process talks nonsense (\(error)); it is not listened to any more")
        state.isClosed = true
        return nil
      }
    }
  }

  private func serve(_ need: HostRequest, _ descriptors: [DescriptorBox], _ state: State) throws {
    let (answer, descriptor) = state.host?(need, descriptors) ?? (.failed("the machine is not ready"), nil)
    try connection.send(answer.encoded, descriptors: descriptor.map { [$0] } ?? [], mayWait: false)
  }
}
