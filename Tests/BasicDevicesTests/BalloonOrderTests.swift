import Glibc
import Platform
import Testing

@testable import BasicDevices

@Suite struct BalloonOrderTests {
  private static let orders: [BalloonOrder] = [
    .setTarget(bytes: 0), .setTarget(bytes: .max), .ask, .collect(after: 7), .collect(after: .max),
  ]

  @Test(arguments: orders) func anOrderIsReadAsItWasSent(_ order: BalloonOrder) throws {
    #expect(try BalloonOrder(order.encoded) == order)
  }

  @Test(arguments: orders) func aCutOrLongOrderIsRefused(_ order: BalloonOrder) {
    for count in 0..<order.encoded.count { #expect(throws: MalformedBytes.self) { try BalloonOrder(Array(order.encoded.prefix(count))) } }
    #expect(throws: MalformedBytes.self) { try BalloonOrder(order.encoded + [0]) }
  }

  @Test func unknownOrdersAreRefused() {
    for kind in 3...255 as ClosedRange<UInt8> {
      #expect(throws: MalformedBytes.self) { try BalloonOrder([kind] + [UInt8](repeating: 0, count: 8)) }
    }
  }

  @Test func statisticsAreReadAsTheyWereSent() throws {
    for values in [[:], [0: 1], [4: .max, 5: 1 << 30, 9: 0]] as [[UInt16: UInt64]] {
      let statistics = BalloonStatistics(values: values, balloonBytes: 4096)
      var writer = ByteWriter()
      statistics.encode(to: &writer)
      #expect(try BalloonStatistics(writer.bytes) == statistics)
      for count in 0..<writer.bytes.count where (count - 8) % 10 != 0 {
        #expect(throws: MalformedBytes.self) { try BalloonStatistics(Array(writer.bytes.prefix(count))) }
      }
    }
  }

  /// A device's process may answer anything.
  @Test(arguments: [[], [1], [UInt8](repeating: 0, count: 7), [UInt8](repeating: 0, count: 9), [UInt8](repeating: 255, count: 300)])
  func wrongAnswersOfADeviceAreErrors(_ answer: [UInt8]) {
    let operation = BalloonOperator { order in
      if case .ask = try BalloonOrder(order) { return [1, 0, 0, 0, 0, 0, 0, 0] }
      return answer
    }
    // The first of them means that there is nothing yet.
    #expect(throws: (any Error).self) { try operation.statistics(milliseconds: 5) }
    let asked = BalloonOperator { _ in answer.count == 8 ? [] : answer }
    #expect(throws: (any Error).self) { try asked.statistics(milliseconds: 5) }
  }

  @Test func statisticsOfOddTagsAreShown() throws {
    let operation = BalloonOperator { order in
      if case .ask = try BalloonOrder(order) { return [UInt8](repeating: 255, count: 8) }
      return [UInt8](repeating: 255, count: 8 + 10 * 30)
    }
    let statistics = try operation.statistics(milliseconds: 5)
    #expect(statistics.balloonBytes == .max && statistics.json.contains("\"balloon_actual\": 18446744073709551615"))
  }
}

extension BalloonOperator {
  /// Asks, and waits for the answer.
  func statistics(milliseconds: Int) throws -> BalloonStatistics {
    let look = try askForStatistics(milliseconds: milliseconds)
    while true {
      if let answer = try look() { return answer }
      usleep(1000)
    }
  }
}
