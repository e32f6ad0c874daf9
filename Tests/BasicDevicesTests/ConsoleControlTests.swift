import BasicDevices
import Platform
import Testing
import Virtio
import VirtioTesting

private let receive = 0, controlReceive = 2, controlTransmit = 3

/// A control message: port, event, value (virtio 1.2, section 5.3.6.2).
private func message(_ event: UInt8, _ value: UInt8, port: UInt8 = 0) -> [UInt8] { [port, 0, 0, 0, event, 0, value, 0] }

private let deviceReady = message(0, 1), portReady = message(3, 1), opened = message(6, 1), closed = message(6, 0)

@Suite struct ConsoleControlTests {
  private final class NoOutput: ByteOutput {
    func write(_ byte: UInt8) -> Bool { true }
    func write(_ bytes: [UInt8]) -> Bool { true }
    func onRoom(_ handler: @escaping @Sendable () -> Void) {}
    func finish(milliseconds: Int32) {}
  }

  private let device = ConsoleDevice(output: NoOutput())

  /// Says something, and returns what the device answers.
  private func say(_ text: [UInt8], _ driver: ActivatedDevice, answers: Int = 0) throws -> [[UInt8]] {
    _ = try driver.perform(controlTransmit, readable: [text])
    return try (0..<answers).map { _ in try driver.perform(controlReceive, writable: [64]).bytes }
  }

  @Test func aDriverLearnsOfThePortAndThatItIsAConsole() throws {
    try withActivatedDevice(device) { driver in
      let said = try say(deviceReady, driver, answers: 1)
      #expect(said == [message(1, 1)])
      let answers = try say(portReady, driver, answers: 2)
      #expect(answers == [message(4, 1), message(6, 1)])
    }
  }

  @Test func inputWaitsUntilTheGuestHasOpenedThePort() throws {
    try withActivatedDevice(device) { driver in
      _ = try say(deviceReady, driver, answers: 1)
      _ = try say(portReady, driver, answers: 2)
      #expect(device.receive([1, 2]) == 0)
      _ = try say(opened, driver)
      #expect(device.receive([1, 2]) == 2)
      #expect(try driver.perform(receive, writable: [8]).bytes == [1, 2])
      _ = try say(closed, driver)
      #expect(device.receive([3]) == 0)
    }
  }

  @Test func aNewDriverMustOpenThePortAgain() throws {
    try withActivatedDevice(device) { driver in
      _ = try say(opened, driver)
      device.reset()
      try driver.activate()
      #expect(device.receive([1]) == 0)
    }
  }

  @Test func theSizeOfTheTerminalIsToldAfterThePort() throws {
    let device = ConsoleDevice(output: NoOutput(), size: ConsoleSize(columns: 80, rows: 25))
    try withActivatedDevice(device) { driver in
      let answers = try say(portReady, driver, answers: 3)
      #expect(answers.last == message(5, 0) + [80, 0, 25, 0])
      device.resize(ConsoleSize(columns: 300, rows: 2))
      #expect(try driver.perform(controlReceive, writable: [64]).bytes == message(5, 0) + [44, 1, 2, 0])
    }
  }

  @Test func nonsenseIsIgnoredAndTheConversationGoesOn() throws {
    try withActivatedDevice(device) { driver in
      let nonsense: [[UInt8]] = [
        [], [0], Array(deviceReady.dropLast()), message(255, 1), message(1, 1), message(3, 1, port: 1), message(6, 1, port: 200),
        message(0, 0), message(3, 0), [UInt8](repeating: 0xff, count: 5000),
      ]
      for text in nonsense {
        if text.isEmpty { _ = try driver.perform(controlTransmit, writable: [8]) } else { _ = try say(text, driver) }
      }
      #expect(device.receive([1]) == 0)
      let said = try say(deviceReady, driver, answers: 1)
      #expect(said == [message(1, 1)])
    }
  }

  @Test func aFloodOfRequestsMakesNoMoreAnswersThanThereAreThings() throws {
    try withActivatedDevice(device) { driver in
      for _ in 0..<1000 {
        _ = try say(deviceReady, driver)
        _ = try say(portReady, driver)
      }
      // A buffer that is too short for a message comes back empty, and the message goes into the next.
      #expect(try driver.perform(controlReceive, writable: [7]).written == 0)
      let answers = try (0..<3).map { _ in try driver.perform(controlReceive, writable: [64]).bytes }
      #expect(answers == [message(1, 1), message(4, 1), message(6, 1)])
      _ = try driver.submit(controlReceive, writable: [64])
      _ = try say(message(2, 0), driver)
      #expect(try driver.poll(controlReceive) == nil)
    }
  }

  @Test func aSnapshotKeepsWhetherThePortIsOpen() throws {
    try withActivatedDevice(device) { driver in
      _ = try say(opened, driver)
      device.suspend()
      let restored = ConsoleDevice(output: NoOutput())
      try restored.restore(try device.snapshot())
      try withActivatedDevice(restored) { _ in #expect(restored.receive([1]) == 1) }
      device.resume()
    }
  }
}
