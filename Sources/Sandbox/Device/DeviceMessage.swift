package import Interrupts
package import PCI
package import Platform

/// What the VMM asks of a device's process, one request and one answer at a time.
package enum DeviceRequest: Equatable {
  case readConfiguration(offset: UInt16, width: UInt8)
  case writeConfiguration(offset: UInt16, width: UInt8, value: UInt32)
  /// Accesses to the range of the device's only register.
  case read(offset: UInt64, width: UInt8)
  case write(offset: UInt64, width: UInt8, value: UInt64)
  case suspend
  case resume
  /// Reset the device, let go of its range, and end the process after the answer.
  case stop
  /// See `VirtioDevice.perform`.
  case order([UInt8])

  /// As a packet; the answer carries the same number.
  package func encoded(number: UInt32) -> [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .readConfiguration(let offset, let width): writer.put(0, number, width, UInt64(offset), 0)
    case .writeConfiguration(let offset, let width, let value): writer.put(1, number, width, UInt64(offset), UInt64(value))
    case .read(let offset, let width): writer.put(2, number, width, offset, 0)
    case .write(let offset, let width, let value): writer.put(3, number, width, offset, value)
    case .suspend: writer.put(4, number)
    case .resume: writer.put(5, number)
    case .stop: writer.put(6, number)
    case .order(let bytes):
      writer.put(7, number)
      writer.put(bytes)
    }
    return writer.bytes
  }

  /// Reads a packet.
  package static func decode(_ packet: [UInt8]) throws(MalformedBytes) -> (DeviceRequest, number: UInt32) {
    var reader = ByteReader(packet)
    let kind: UInt8 = try reader.get()
    let number: UInt32 = try reader.get()
    let request: DeviceRequest
    switch kind {
    case 0...3:
      let width: UInt8 = try reader.get()
      let offset: UInt64 = try reader.get()
      let value: UInt64 = try reader.get()
      request =
        switch kind {
        case 0: .readConfiguration(offset: UInt16(truncatingIfNeeded: offset), width: width)
        case 1: .writeConfiguration(offset: UInt16(truncatingIfNeeded: offset), width: width, value: UInt32(truncatingIfNeeded: value))
        case 2: .read(offset: offset, width: width)
        default: .write(offset: offset, width: width, value: value)
        }
    case 4: request = .suspend
    case 5: request = .resume
    case 6: request = .stop
    case 7: request = .order(try reader.getBytes())
    default: throw MalformedBytes("\(kind) is no request to a device")
    }
    try reader.finish()
    return (request, number)
  }
}

/// What a device's process sends on the same connection: answers, and what it needs of the machine before it can answer.
package enum DeviceMessage: Equatable {
  /// The device is built; these are its registers. The first message.
  case ready([BAR])
  /// The device cannot be built, and why.
  case failed(String)
  case value(UInt64, number: UInt32)
  case bytes([UInt8], number: UInt32)
  case refused(String, number: UInt32)
  case need(HostRequest)

  package var encoded: [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .ready(let bars):
      writer.put(UInt8(0))
      writer.put(UInt8(clamping: bars.count))
      for bar in bars {
        writer.put(UInt8(clamping: bar.index))
        writer.put(bar.kind.code)
        writer.put(bar.size)
        writer.put(bar.isPrefetchable)
      }
    case .failed(let reason):
      writer.put(UInt8(1))
      writer.put(reason)
    case .value(let value, let number):
      writer.put(2, number)
      writer.put(value)
    case .bytes(let bytes, let number):
      writer.put(3, number)
      writer.put(bytes)
    case .refused(let reason, let number):
      writer.put(4, number)
      writer.put(reason)
    case .need(let request):
      request.encode(to: &writer)
    }
    return writer.bytes
  }

  package init(_ packet: [UInt8]) throws {
    var reader = ByteReader(packet)
    let kind: UInt8 = try reader.get()
    switch kind {
    case 0:
      var bars: [BAR] = []
      for _ in 0..<(try reader.get(UInt8.self)) {
        let index = Int(try reader.get(UInt8.self))
        guard let kind = BAR.Kind(code: try reader.get()) else { throw MalformedBytes("a register of an unknown kind") }
        bars.append(try BAR(index: index, kind: kind, size: try reader.get(), isPrefetchable: try reader.getBool()))
      }
      let registers = bars.flatMap { $0.kind == .memory64 ? [$0.index, $0.index + 1] : [$0.index] }
      guard Set(registers).count == registers.count else { throw MalformedBytes("a register twice") }
      self = .ready(bars)
    case 1: self = .failed(try reader.getString())
    case 2:
      let number: UInt32 = try reader.get()
      self = .value(try reader.get(), number: number)
    case 3:
      let number: UInt32 = try reader.get()
      self = .bytes(try reader.getBytes(), number: number)
    case 4:
      let number: UInt32 = try reader.get()
      self = .refused(try reader.getString(), number: number)
    default: self = .need(try HostRequest(kind, &reader))
    }
    try reader.finish()
  }
}

/// What a device's process needs of the machine while it handles a request: the calls of `BARHost`, `DoorbellRegistrar` and
/// `MessageInterruptAllocator`.
package enum HostRequest: Equatable {
  case decode(bar: UInt8, base: UInt64?)
  /// With the event's descriptor.
  case attachDoorbell(address: UInt64)
  case detachDoorbell(address: UInt64)
  /// Answered with the vector's number and its event's descriptor.
  case makeMessageInterrupt
  case route(vector: UInt32, InterruptMessage)

  func encode(to writer: inout ByteWriter) {
    switch self {
    case .decode(let bar, let base):
      writer.put(UInt8(16))
      writer.put(bar)
      writer.put(base != nil)
      writer.put(base ?? 0)
    case .attachDoorbell(let address):
      writer.put(UInt8(17))
      writer.put(address)
    case .detachDoorbell(let address):
      writer.put(UInt8(18))
      writer.put(address)
    case .makeMessageInterrupt:
      writer.put(UInt8(19))
    case .route(let vector, let message):
      writer.put(UInt8(20))
      writer.put(vector)
      writer.put(message.address)
      writer.put(message.data)
    }
  }

  init(_ kind: UInt8, _ reader: inout ByteReader) throws(MalformedBytes) {
    switch kind {
    case 16:
      let bar: UInt8 = try reader.get()
      let isPlaced = try reader.getBool()
      let base: UInt64 = try reader.get()
      self = .decode(bar: bar, base: isPlaced ? base : nil)
    case 17: self = .attachDoorbell(address: try reader.get())
    case 18: self = .detachDoorbell(address: try reader.get())
    case 19: self = .makeMessageInterrupt
    case 20:
      let vector: UInt32 = try reader.get()
      self = .route(vector: vector, InterruptMessage(address: try reader.get(), data: try reader.get()))
    default: throw MalformedBytes("\(kind) is no message of a device")
    }
  }
}

/// The machine's answer to a `HostRequest`.
package enum HostAnswer: Equatable {
  case value(UInt64)
  case failed(String)

  package var encoded: [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .value(let value):
      writer.put(HostAnswer.kind)
      writer.put(true)
      writer.put(value)
    case .failed(let reason):
      writer.put(HostAnswer.kind)
      writer.put(false)
      writer.put(reason)
    }
    return writer.bytes
  }

  package init(_ packet: [UInt8]) throws(MalformedBytes) {
    var reader = ByteReader(packet)
    guard try reader.get() == HostAnswer.kind else { throw MalformedBytes("an answer was expected") }
    self = try reader.getBool() ? .value(try reader.get()) : .failed(try reader.getString())
    try reader.finish()
  }

  /// Tells answers from requests, which begin with smaller numbers.
  private static let kind: UInt8 = 0x80
}

extension BAR.Kind {
  fileprivate var code: UInt8 {
    switch self {
    case .memory32: 0
    case .memory64: 1
    case .ports: 2
    }
  }

  fileprivate init?(code: UInt8) {
    switch code {
    case 0: self = .memory32
    case 1: self = .memory64
    case 2: self = .ports
    default: return nil
    }
  }
}

extension ByteWriter {
  fileprivate mutating func put(_ kind: UInt8, _ number: UInt32) {
    put(kind)
    put(number)
  }

  fileprivate mutating func put(_ kind: UInt8, _ number: UInt32, _ width: UInt8, _ offset: UInt64, _ value: UInt64) {
    put(kind, number)
    put(width)
    put(offset)
    put(value)
  }
}
