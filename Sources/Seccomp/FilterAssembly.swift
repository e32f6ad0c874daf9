internal import CLinux

/// The beginning of a program for the kernel's packet filter (linux/filter.h): decides about the calls whose arguments are compared, and
/// goes on behind its end with all others.
struct FilterAssembly {
  private let architecture: UInt32
  /// For each call, the instructions that decide about it.
  private var blocks: [(call: Int32, code: [Instruction])] = []

  init(architecture: UInt32) { self.architecture = architecture }

  /// Allows a call where all comparisons of one of the alternatives hold, and else answers with an action.
  mutating func add(call: Int32, allowedIf alternatives: [[Comparison]], otherwise action: UInt32) {
    var code: [Instruction] = []
    for comparisons in alternatives {
      let tests = comparisons.map { Instruction.test($0) }
      // Behind each test stands a jump to the next alternative, which the test skips where it holds.
      var remaining = tests.reduce(0) { $0 + $1.count + 1 } + 1
      for test in tests {
        remaining -= test.count + 1
        code += test
        code.append(.jump(over: remaining))
      }
      code.append(.answer(UInt32(SECCOMP_RET_ALLOW)))
    }
    code.append(.answer(action))
    blocks.append((call, code))
  }

  /// The instructions, a `struct sock_filter` each; none where no call was added.
  var bytes: [UInt8] {
    guard !blocks.isEmpty else { return [] }
    // Numbers mean other calls on other architectures.
    var code: [Instruction] = [
      .load(4), .skip(if: BPF_JEQ, architecture, over: 1), .answer(UInt32(SECCOMP_RET_KILL_PROCESS)), .load(0),
    ]
    for (call, block) in blocks {
      code.append(.skip(if: BPF_JEQ, UInt32(bitPattern: call), over: 1))
      code.append(.jump(over: block.count))
      code += block
    }
    return code.flatMap(\.bytes)
  }
}

/// A `struct sock_filter`.
private struct Instruction {
  let code: Int32
  var ifTrue: UInt8 = 0
  var ifFalse: UInt8 = 0
  let value: UInt32

  static func load(_ offset: UInt32) -> Instruction { Instruction(code: BPF_LD | BPF_W | BPF_ABS, value: offset) }

  static func answer(_ action: UInt32) -> Instruction { Instruction(code: BPF_RET | BPF_K, value: action) }

  static func jump(over count: Int) -> Instruction { Instruction(code: BPF_JMP | BPF_JA, value: UInt32(clamping: count)) }

  /// Skips instructions if what was loaded compares so with the value.
  static func skip(if relation: Int32, _ value: UInt32, over ifTrue: UInt8, else ifFalse: UInt8 = 0) -> Instruction {
    Instruction(code: BPF_JMP | relation | BPF_K, ifTrue: ifTrue, ifFalse: ifFalse, value: value)
  }

  /// Skips the instruction behind it where the comparison holds, and goes on with it where not.
  ///
  /// An argument has 64 bits, and the filter's words 32: the upper half comes first.
  static func test(_ comparison: Comparison) -> [Instruction] {
    let lowerOffset = 16 + 8 * comparison.argument
    let (upper, lower) = (load(lowerOffset + 4), load(lowerOffset))
    let value = comparison.value
    let (high, low) = (UInt32(value >> 32), UInt32(truncatingIfNeeded: value))
    return switch comparison.relation {
    case .equal: [upper, skip(if: BPF_JEQ, high, over: 0, else: 2), lower, skip(if: BPF_JEQ, low, over: 1)]
    case .notEqual: [upper, skip(if: BPF_JEQ, high, over: 0, else: 3), lower, skip(if: BPF_JEQ, low, over: 0, else: 1)]
    case .greater: ordered(upper, high, lower, skip(if: BPF_JGT, low, over: 1))
    case .greaterOrEqual: ordered(upper, high, lower, skip(if: BPF_JGE, low, over: 1))
    case .less: orderedInversely(upper, high, lower, skip(if: BPF_JGE, low, over: 0, else: 1))
    case .lessOrEqual: orderedInversely(upper, high, lower, skip(if: BPF_JGT, low, over: 0, else: 1))
    case .anyBit: [upper, skip(if: BPF_JSET, high, over: 3), lower, skip(if: BPF_JSET, low, over: 1)]
    case .noOtherBit: [upper, skip(if: BPF_JSET, ~high, over: 2), lower, skip(if: BPF_JSET, ~low, over: 0, else: 1)]
    }
  }

  /// Holds where the upper half is greater, or where it is equal and the last instruction says so.
  private static func ordered(_ upper: Instruction, _ high: UInt32, _ lower: Instruction, _ last: Instruction) -> [Instruction] {
    [upper, skip(if: BPF_JGT, high, over: 4), skip(if: BPF_JEQ, high, over: 0, else: 2), lower, last]
  }

  /// Holds where the upper half is less, or where it is equal and the last instruction says so.
  private static func orderedInversely(_ upper: Instruction, _ high: UInt32, _ lower: Instruction, _ last: Instruction) -> [Instruction] {
    [upper, skip(if: BPF_JGT, high, over: 3), skip(if: BPF_JEQ, high, over: 0, else: 3), lower, last]
  }

  /// In the byte order of both our architectures.
  var bytes: [UInt8] {
    [UInt8(truncatingIfNeeded: code), UInt8(truncatingIfNeeded: code >> 8), ifTrue, ifFalse]
      + (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
}
