import CLinux

/// The system call that a filter decides about, as the kernel shows it to the filter (struct seccomp_data).
struct CallData {
  var number: Int32
  var architecture: UInt32
  var arguments: [UInt64] = []

  /// The word at a multiple of four; `nil` beyond the end.
  func word(at offset: UInt32) -> UInt32? {
    switch offset {
    case 0: return UInt32(bitPattern: number)
    case 4: return architecture
    case 8, 12: return 0x1234_5678
    case 16..<64 where offset % 4 == 0:
      let index = Int(offset - 16) / 8
      let argument = index < arguments.count ? arguments[index] : 0
      return UInt32(truncatingIfNeeded: offset % 8 == 0 ? argument : argument >> 32)
    default: return nil
    }
  }
}

/// What a filter decides.
enum Decision: Equatable, CustomStringConvertible {
  case allow, log, trap, killProcess
  case fail(UInt16)
  case other(UInt32)

  init(_ value: UInt32) {
    switch value & 0xffff_0000 {
    case 0x7fff_0000: self = .allow
    case 0x7ffc_0000: self = .log
    case 0x0003_0000: self = .trap
    case 0x8000_0000: self = .killProcess
    case 0x0005_0000: self = .fail(UInt16(truncatingIfNeeded: value))
    default: self = .other(value)
    }
  }

  var description: String {
    switch self {
    case .allow: "allow"
    case .log: "log"
    case .trap: "trap"
    case .killProcess: "kill"
    case .fail(let code): "fail \(code)"
    case .other(let value): "0x" + String(value, radix: 16)
    }
  }
}

/// Runs programs of the kernel's packet filter as seccomp does (linux/filter.h).
struct PacketFilter {
  struct Instruction {
    let code: UInt16
    let ifTrue: Int
    let ifFalse: Int
    let value: UInt32
  }

  /// The program does what the kernel's check refuses.
  struct Invalid: Error { let index: Int }

  let instructions: [Instruction]

  init(_ bytes: [UInt8]) {
    instructions = stride(from: 0, to: bytes.count - 7, by: 8).map { at in
      let value = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[at + 4 + $1]) << UInt32(8 * $1) }
      return Instruction(
        code: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8, ifTrue: Int(bytes[at + 2]), ifFalse: Int(bytes[at + 3]), value: value)
    }
  }

  /// What becomes of a call, and after how many instructions.
  func decision(on call: CallData) throws -> (decision: Decision, steps: Int) {
    var accumulator: UInt32 = 0
    var index = 0
    var steps = 0
    while instructions.indices.contains(index) {
      let instruction = instructions[index]
      let value = instruction.value
      index += 1
      steps += 1
      func jump(_ condition: Bool) { index += condition ? instruction.ifTrue : instruction.ifFalse }
      switch Int32(instruction.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        guard let word = call.word(at: value) else { throw Invalid(index: index) }
        accumulator = word
      case BPF_ALU | BPF_AND | BPF_K: accumulator &= value
      case BPF_JMP | BPF_JA: index += Int(value)
      case BPF_JMP | BPF_JEQ | BPF_K: jump(accumulator == value)
      case BPF_JMP | BPF_JGT | BPF_K: jump(accumulator > value)
      case BPF_JMP | BPF_JGE | BPF_K: jump(accumulator >= value)
      case BPF_JMP | BPF_JSET | BPF_K: jump(accumulator & value != 0)
      case BPF_RET | BPF_K: return (Decision(value), steps)
      default: throw Invalid(index: index)
      }
    }
    throw Invalid(index: index)
  }
}
