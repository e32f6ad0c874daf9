internal import Logging
internal import Platform
internal import Synchronization

/// Sends a device process's log lines, and what else it has to tell, to the VMM.
final class EventSender: Sendable {
  private let connection: PacketSocket
  private let dropped = Atomic<Int>(0)

  init(_ connection: PacketSocket) { self.connection = connection }

  /// Sends an event, waiting while there is no room.
  func send(_ event: DeviceEvent) { try? connection.send(event.encoded) }

  /// Sends a line, unless there is no room: a device does not wait for its log.
  fileprivate func sendLine(_ level: Logger.Level, _ text: String) {
    let lost = dropped.exchange(0, ordering: .relaxed)
    let line = lost > 0 ? "\(text) (\(lost) lines before this one are lost)" : text
    do throws(SystemError) { try connection.send(DeviceEvent.line(level, line).encoded, mayWait: false) } catch {
      dropped.add(lost + 1, ordering: .relaxed)
    }
  }
}

/// Makes a line of each message of a logger, for the VMM's log.
struct EventLogHandler: LogHandler {
  let sender: EventSender
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let all = metadata.merging(event.metadata ?? [:]) { $1 }
    let pairs = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
    sender.sendLine(event.level, "\(event.message)" + pairs.joined())
  }
}
