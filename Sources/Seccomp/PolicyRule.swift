/// What a policy says about one system call.
struct PolicyRule: Sendable, Equatable {
  let call: String
  let number: Int32
  let verdict: Verdict
  let file: String
  let line: Int

  enum Verdict: Sendable, Equatable {
    case allow
    case kill
    /// The call is not made, and returns this error.
    case fail(errno: UInt16)
    /// Allowed where one of the alternatives holds, each of which holds where all its comparisons do; otherwise it fails with `errno`, or
    /// is a violation.
    case allowIf(alternatives: [[Comparison]], errno: UInt16?)
  }
}

/// A comparison of an argument of a system call with a number.
struct Comparison: Sendable, Equatable {
  enum Operator: String, Sendable, CaseIterable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    /// At least one bit of the value is set.
    case anyBit = "&"
    /// No bit outside the value is set.
    case noOtherBit = "in"
  }

  /// 0...5.
  let argument: UInt32
  let relation: Operator
  let value: UInt64
  let line: Int

  /// Whether it holds for an argument, which the kernel compares as an unsigned number of 64 bits.
  func holds(for argument: UInt64) -> Bool {
    switch relation {
    case .equal: argument == value
    case .notEqual: argument != value
    case .less: argument < value
    case .lessOrEqual: argument <= value
    case .greater: argument > value
    case .greaterOrEqual: argument >= value
    case .anyBit: argument & value != 0
    case .noOtherBit: argument & ~value == 0
    }
  }

  /// Whether it holds for every argument or for none, and so says nothing.
  var constant: Bool? {
    switch (relation, value) {
    case (.less, 0), (.greater, .max), (.anyBit, 0): false
    case (.greaterOrEqual, 0), (.lessOrEqual, .max), (.noOtherBit, .max): true
    default: nil
    }
  }
}
