/// The registers of a 16550A (PC16550D data sheet): a machine of states without a place to write to, so that it can be tested alone.
struct SerialRegisters {
  /// Bytes that the receive FIFO holds. A real one holds 16; a driver that reads until the FIFO is empty does not notice.
  static let receiveCapacity = 1024
  /// A guest that asks for the line's status so often in a row, and does nothing else, waits for input without interrupts.
  static let pollsOfAListener = 32

  private enum Interrupt {
    static let received: UInt8 = 0x01
    static let transmitterEmpty: UInt8 = 0x02
    static let lineStatus: UInt8 = 0x04
    static let modemStatus: UInt8 = 0x08
  }
  private enum LineStatus {
    static let dataReady: UInt8 = 0x01
    static let overrun: UInt8 = 0x02
    static let transmitterEmpty: UInt8 = 0x60
  }
  private enum ModemControl {
    static let requestToSend: UInt8 = 0x02
    static let loopback: UInt8 = 0x10
  }
  private static let divisorLatch: UInt8 = 0x80

  private var interruptEnable: UInt8 = 0
  private var fifoControl: UInt8 = 0
  private var lineControl: UInt8 = 0x03
  private var modemControl: UInt8 = 0x08
  private var modemDeltas: UInt8 = 0
  private var scratch: UInt8 = 0
  private var divisor: (low: UInt8, high: UInt8) = (0x0c, 0)
  private var overrun = false
  private var transmitterEmptyPending = false
  private var transmitterBusy = false
  private var throttled = false
  private var polls = 0
  private var fifo = ByteFIFO(capacity: SerialRegisters.receiveCapacity)

  private var isLoopback: Bool { modemControl & ModemControl.loopback != 0 }
  private var fifosEnabled: Bool { fifoControl & 1 != 0 }
  private var triggerLevel: Int { fifosEnabled ? [1, 4, 8, 14][Int(fifoControl >> 6)] : 1 }

  /// What the modem's lines say; in loopback they are our own control lines (data sheet, 8.6.4).
  private var modemLines: UInt8 {
    guard isLoopback else { return 0xb0 }
    let control = modemControl
    return (control & 0x02) << 3 | (control & 0x01) << 5 | (control & 0x04) << 4 | (control & 0x08) << 4
  }

  /// The reasons to interrupt, as bits of the interrupt enable register.
  var pendingInterrupts: UInt8 {
    var reasons: UInt8 = 0
    if overrun { reasons |= Interrupt.lineStatus }
    if !fifo.isEmpty { reasons |= Interrupt.received }
    if transmitterEmptyPending { reasons |= Interrupt.transmitterEmpty }
    if modemDeltas != 0 { reasons |= Interrupt.modemStatus }
    return reasons & interruptEnable
  }

  /// How many bytes the line may deliver now. None before the guest listens, so that what is typed early, or waits in a pipe, is not
  /// lost when the guest's driver clears the FIFO.
  var receiveRoom: Int {
    // Linux enables the interrupt first, then sets up the FIFO (which empties it), then raises RTS: only then it is ready. DTR says nothing:
    // on a console's port it is up from the start.
    let isReady = interruptEnable & Interrupt.received != 0 && modemControl & ModemControl.requestToSend != 0
    let listening = isReady || polls >= SerialRegisters.pollsOfAListener
    return listening && !isLoopback && !throttled ? fifo.room : 0
  }

  /// Whether the FIFO has room for so many bytes that it is worth waking the thread that waits to deliver them.
  var wantsInput: Bool { receiveRoom >= SerialRegisters.receiveCapacity / 2 }

  /// Takes a byte from the line; the caller asked for `receiveRoom`.
  mutating func receive(_ byte: UInt8) { if !fifo.append(byte) { overrun = true } }

  /// Reads a register.
  mutating func read(_ offset: UInt64) -> UInt8 {
    switch offset {
    case 0:
      if lineControl & SerialRegisters.divisorLatch != 0 { return divisor.low }
      return fifo.removeFirst() ?? 0
    case 1: return lineControl & SerialRegisters.divisorLatch != 0 ? divisor.high : interruptEnable
    case 2: return readInterruptIdentification()
    case 3: return lineControl
    case 4: return modemControl
    case 5: return readLineStatus()
    case 6:
      defer { modemDeltas = 0 }
      return modemLines | modemDeltas
    case 7: return scratch
    default: return 0xff
    }
  }

  /// The reason of highest rank (data sheet, table IV). Reading takes back the "transmitter empty" that it reports.
  private mutating func readInterruptIdentification() -> UInt8 {
    let fifoBits: UInt8 = fifosEnabled ? 0xc0 : 0
    let pending = pendingInterrupts
    if pending & Interrupt.lineStatus != 0 { return fifoBits | 0x06 }
    if pending & Interrupt.received != 0 { return fifoBits | (fifo.count >= triggerLevel ? 0x04 : 0x0c) }
    if pending & Interrupt.transmitterEmpty != 0 {
      transmitterEmptyPending = false
      return fifoBits | 0x02
    }
    return fifoBits | (pending & Interrupt.modemStatus != 0 ? 0x00 : 0x01)
  }

  private mutating func readLineStatus() -> UInt8 {
    // Who polls a busy transmitter waits for that, not for input.
    if !transmitterBusy { polls = min(polls + 1, SerialRegisters.pollsOfAListener) }
    var status: UInt8 = transmitterBusy && !isLoopback ? 0 : LineStatus.transmitterEmpty
    if !fifo.isEmpty { status |= LineStatus.dataReady }
    if overrun { status |= LineStatus.overrun }
    overrun = false
    return status
  }

  /// Writes a register.
  ///
  /// - Returns: A byte to transmit on the line; `transmitted` must follow.
  mutating func write(_ offset: UInt64, _ value: UInt8) -> UInt8? {
    if offset < 4 { polls = 0 }
    switch offset {
    case 0:
      if lineControl & SerialRegisters.divisorLatch != 0 {
        divisor.low = value
      } else {
        return writeTransmitter(value)
      }
    case 1:
      if lineControl & SerialRegisters.divisorLatch != 0 { divisor.high = value } else { writeInterruptEnable(value) }
    case 2: writeFIFOControl(value)
    case 3: lineControl = value
    case 4: writeModemControl(value)
    case 7: scratch = value
    default: break
    }
    return nil
  }

  private mutating func writeTransmitter(_ value: UInt8) -> UInt8? {
    if isLoopback {
      receive(value)
      transmitterEmptyPending = true
      return nil
    }
    transmitterEmptyPending = false
    return value
  }

  /// The line took a byte; it is ready for the next unless `room` is false.
  mutating func transmitted(room: Bool) {
    transmitterBusy = !room
    transmitterEmptyPending = room
  }

  /// The line is ready again.
  mutating func transmitterRecovered() {
    guard transmitterBusy else { return }
    transmitterBusy = false
    transmitterEmptyPending = true
  }

  private mutating func writeInterruptEnable(_ value: UInt8) {
    let added = value & ~interruptEnable
    interruptEnable = value & 0x0f
    // Linux tests for this: enabling the interrupt while the transmitter is empty raises it.
    if added & Interrupt.transmitterEmpty != 0, !transmitterBusy { transmitterEmptyPending = true }
    if interruptEnable & Interrupt.received == 0 { throttled = false }
  }

  private mutating func writeFIFOControl(_ value: UInt8) {
    if value & 0x02 != 0 || (value ^ fifoControl) & 1 != 0 { fifo.removeAll() }
    fifoControl = value & 0xc9
  }

  private mutating func writeModemControl(_ value: UInt8) {
    let before = modemLines
    // A driver that can take no more drops "request to send"; one that never raised it, or reads without interrupts, does not mean it.
    if value & ModemControl.requestToSend != 0 {
      throttled = false
    } else if modemControl & ModemControl.requestToSend != 0, interruptEnable & Interrupt.received != 0 {
      throttled = true
    }
    modemControl = value & 0x1f
    let changed = before ^ modemLines
    // The ring indicator reports its falling edge only.
    let ringEnded = changed & before & 0x40
    modemDeltas |= (changed & 0xb0 | ringEnded) >> 4
  }
}

/// A bounded queue of bytes that never allocates after its making.
struct ByteFIFO {
  private var bytes: [UInt8]
  private var first = 0
  private(set) var count = 0

  init(capacity: Int) { bytes = [UInt8](repeating: 0, count: capacity) }

  var isEmpty: Bool { count == 0 }
  var room: Int { bytes.count - count }

  /// Adds a byte at the end; false when there is no room.
  mutating func append(_ byte: UInt8) -> Bool {
    guard count < bytes.count else { return false }
    bytes[(first + count) % bytes.count] = byte
    count += 1
    return true
  }

  mutating func removeFirst() -> UInt8? {
    guard count > 0 else { return nil }
    let byte = bytes[first]
    first = (first + 1) % bytes.count
    count -= 1
    return byte
  }

  mutating func removeAll() { count = 0 }
}
