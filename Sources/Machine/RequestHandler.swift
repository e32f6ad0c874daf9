internal import BasicDevices
internal import BlockDevice
internal import Control
internal import Logging
internal import NetDevice
internal import PlatformDevices
internal import Synchronization

/// Does what clients of the control socket ask for, on the thread of the machine's loop.
final class RequestHandler: Sendable {
  /// How long processors may take to leave the guest: far more than they need, for a host that is short of processors.
  private static let parkingMilliseconds = 10_000

  private static let suspended = ControlResponse.failed("the machine is suspended; resume it first")

  private let control: RunControl
  private let devices: DeviceSet
  private let version: String
  private let logger: Logger
  private let threads = Mutex<[ProcessorThread]>([])

  init(control: RunControl, devices: DeviceSet, version: String, logger: Logger) {
    self.control = control
    self.devices = devices
    self.version = version
    self.logger = logger
  }

  /// Sets the processors' threads, once they run; empty when they are about to end.
  func setThreads(_ threads: [ProcessorThread]) { self.threads.withLock { $0 = threads } }

  /// Does it.
  func answer(_ request: ControlRequest) -> ControlAnswer {
    switch request {
    case .stop:
      control.end(.stopped)
      return .now(.done(""))
    case .suspend: return .now(suspend())
    case .resume: return .now(resume())
    case .pressPowerButton: return .now(pressPowerButton())
    case .version: return .now(.done(version))
    case .balloon(let bytes):
      return withBalloon { balloon in
        try balloon.setTarget(bytes: bytes)
        return .now(.done(""))
      }
    case .balloonStatistics:
      // The guest answers when it likes; the loop, which may have to raise the interrupt that it waits for, goes on meanwhile.
      return withBalloon { balloon in
        let look = try balloon.askForStatistics()
        return .later { do { return try look().map { .done($0.json) } } catch { return .failed("\(error)") } }
      }
    case .resizeDisk(let index, let bytes, let mayShrink): return .now(resizeDisk(index, bytes, mayShrink: mayShrink))
    case .setLink(let card, let isUp): return .now(setLink(card, isUp: isUp))
    case .listUSB, .attachUSB, .detachUSB: return .now(.failed("this machine has no USB controller"))
    }
  }

  private func suspend() -> ControlResponse {
    if control.isPaused { return .done("") }
    let threads = threads.withLock { $0 }
    guard control.pause() else { return .failed("the machine is about to end") }
    for thread in threads { thread.interrupt() }
    guard control.waitUntilParked(threads.count, milliseconds: Self.parkingMilliseconds) else {
      control.resume()
      return .failed("the processors did not stop within \(Self.parkingMilliseconds / 1000) seconds; the machine runs on")
    }
    // Nobody begins a request any more; those under way are finished.
    if let name = devices.suspend() {
      control.resume()
      return .failed("the process of device \(name) does not finish what it has begun; the machine runs on")
    }
    logger.info("suspended")
    return .done("")
  }

  private func resume() -> ControlResponse {
    guard control.isPaused else { return .done("") }
    devices.resume()
    control.resume()
    logger.info("resumed")
    return .done("")
  }

  private func withBalloon(_ body: (BalloonOperator) throws -> ControlAnswer) -> ControlAnswer {
    guard let balloon = devices.balloon else { return .now(.failed("this machine has no balloon (--no-balloon)")) }
    if control.isPaused { return .now(Self.suspended) }
    do { return try body(balloon) } catch { return .now(.failed("\(error)")) }
  }

  private func pressPowerButton() -> ControlResponse {
    if control.isPaused { return Self.suspended }
    guard devices.pressPowerButton() else {
      return .failed("the guest does not listen to its power button (yet); crosvm stop ends the machine at once")
    }
    return .done("")
  }

  private func resizeDisk(_ index: Int, _ bytes: UInt64, mayShrink: Bool) -> ControlResponse {
    guard devices.disks.indices.contains(index) else {
      return .failed("there is no disk \(index); this machine has \(devices.disks.count)")
    }
    if control.isPaused { return Self.suspended }
    do { try devices.disks[index].resize(to: bytes, mayShrink: mayShrink) } catch { return .failed("\(error)") }
    logger.info("disk \(index) has \(bytes) bytes now")
    return .done("")
  }

  private func setLink(_ index: Int, isUp: Bool) -> ControlResponse {
    guard devices.networkCards.indices.contains(index) else {
      return .failed("there is no network card \(index); this machine has \(devices.networkCards.count)")
    }
    if control.isPaused { return Self.suspended }
    do { try devices.networkCards[index].setLink(isUp: isUp) } catch { return .failed("\(error)") }
    logger.info("network card \(index): its link is \(isUp ? "up" : "down") now")
    return .done("")
  }
}
