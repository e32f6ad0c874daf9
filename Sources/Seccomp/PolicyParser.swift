/// Reads one statement about system calls: `{name, name}: arg0 == 1 && arg1 in 3 || arg2 & 4; return EPERM`.
struct PolicyParser {
  private var tokens: ArraySlice<PolicyToken>
  private let architecture: Architecture
  private let file: String
  /// Of the last token taken; for a mistake at the end of the line.
  private var line: Int

  /// How deep brackets may stand in one another.
  static let deepest = 8

  /// Reads a statement.
  ///
  /// - Returns: One rule a name.
  static func rules(_ tokens: [PolicyToken], architecture: Architecture, file: String) throws(PolicyProblem) -> [PolicyRule] {
    var parser = PolicyParser(tokens: tokens[...], architecture: architecture, file: file, line: tokens.first?.line ?? 1)
    return try parser.statement()
  }

  private mutating func statement() throws(PolicyProblem) -> [PolicyRule] {
    let names = try self.names()
    try expect(":", after: "'\(names.last?.text ?? "")'")
    let verdict = try self.verdict()
    if let extra = tokens.first { throw PolicyProblem(extra.line, "'\(quoted(extra.text))' is too much; the line is complete before it") }
    var rules: [PolicyRule] = []
    for name in names {
      guard let number = architecture.number(ofCall: name.text) else {
        throw PolicyProblem(
          name.line, "'\(quoted(name.text))' is no system call of \(architecture.rawValue); correct the name, or remove it")
      }
      rules.append(PolicyRule(call: name.text, number: number, verdict: verdict, file: file, line: name.line))
    }
    return rules
  }

  private mutating func names() throws(PolicyProblem) -> [PolicyToken] {
    guard take("{") else { return [try word("the name of a system call")] }
    var names: [PolicyToken] = []
    repeat { names.append(try word("the name of a system call")) } while take(",")
    try expect("}", after: "the names")
    return names
  }

  private mutating func verdict() throws(PolicyProblem) -> PolicyRule.Verdict {
    switch tokens.first?.text {
    case "1", "allow":
      tokens.removeFirst()
      return .allow
    case "kill", "kill-process":
      tokens.removeFirst()
      return .kill
    case "return":
      return .fail(errno: try returnedError())
    default:
      let alternatives = try self.alternatives()
      return .allowIf(alternatives: alternatives, errno: take(";") ? try returnedError() : nil)
    }
  }

  private mutating func returnedError() throws(PolicyProblem) -> UInt16 {
    let keyword = try word("'return' and an error")
    guard keyword.text == "return" else {
      throw PolicyProblem(keyword.line, "'\(quoted(keyword.text))' is not known here; write 'return' and an error, such as EPERM")
    }
    let name = try word("the name of an error")
    if let code = PolicyConstants.errors[name.text] { return code }
    // The kernel and libseccomp take no greater number for an error.
    if let code = PolicyConstants.number(name.text), (1...4094).contains(code) { return UInt16(code) }
    throw PolicyProblem(name.line, "'\(quoted(name.text))' is no error; write a name such as EPERM or ENOENT, or a number of 1 to 4094")
  }

  private mutating func alternatives() throws(PolicyProblem) -> [[Comparison]] {
    var alternatives: [[Comparison]] = []
    repeat {
      var comparisons: [Comparison] = []
      repeat { comparisons.append(try comparison()) } while take("&&")
      alternatives.append(comparisons)
    } while take("||")
    return alternatives
  }

  private mutating func comparison() throws(PolicyProblem) -> Comparison {
    let argument = try word("an argument, arg0 to arg5,")
    guard argument.text.count == 4, argument.text.hasPrefix("arg"), let number = argument.text.last?.wholeNumberValue, number <= 5 else {
      throw PolicyProblem(
        argument.line, "'\(quoted(argument.text))' is not known here; write 1, return ERROR, kill, or a comparison of arg0 to arg5")
    }
    let operators = Comparison.Operator.allCases.map(\.rawValue).joined(separator: " ")
    let sign = next()
    guard let sign, let relation = Comparison.Operator(rawValue: sign.text) else {
      let hint = sign?.text == "=" ? "'=' is no operator; write ==, or another" : "there is no operator; write one"
      throw PolicyProblem(line, "after '\(argument.text)' \(hint) of \(operators)")
    }
    let value = try self.value(depth: 0)
    let comparison = Comparison(argument: UInt32(number), relation: relation, value: value, line: argument.line)
    if let constant = comparison.constant {
      throw PolicyProblem(argument.line, "'\(argument.text) \(sign.text) \(value)' \(constant ? "always" : "never") holds; remove it")
    }
    return comparison
  }

  /// Constants joined by `|`.
  private mutating func value(depth: Int) throws(PolicyProblem) -> UInt64 {
    var value: UInt64 = 0
    repeat { value |= try constant(depth: depth) } while take("|")
    return value
  }

  private mutating func constant(depth: Int) throws(PolicyProblem) -> UInt64 {
    var isInverted = false
    while take("~") { isInverted.toggle() }
    let value: UInt64
    if take("(") {
      guard depth < PolicyParser.deepest else {
        throw PolicyProblem(line, "brackets stand more than \(PolicyParser.deepest) deep; use fewer")
      }
      value = try self.value(depth: depth + 1)
      try expect(")", after: "the value")
    } else {
      value = try namedConstant()
    }
    return isInverted ? ~value : value
  }

  private mutating func namedConstant() throws(PolicyProblem) -> UInt64 {
    let token = try word("a number or the name of a constant")
    if let value = PolicyConstants.number(token.text) ?? PolicyConstants.value(of: token.text, on: architecture) { return value }
    if token.text.first?.isNumber ?? false || token.text.hasPrefix("-") {
      throw PolicyProblem(token.line, "'\(quoted(token.text))' is no number of 64 bits; write it as 10, 0xa or 012")
    }
    throw PolicyProblem(token.line, "'\(quoted(token.text))' is no constant that policies know; write its number")
  }

  private mutating func next() -> PolicyToken? {
    guard let token = tokens.popFirst() else { return nil }
    line = token.line
    return token
  }

  private mutating func take(_ sign: String) -> Bool {
    guard let token = tokens.first, token.kind == .sign, token.text == sign else { return false }
    _ = next()
    return true
  }

  private mutating func expect(_ sign: String, after what: String) throws(PolicyProblem) {
    guard let found = tokens.first else { throw PolicyProblem(line, "the line ends after \(what); write '\(sign)' there") }
    guard take(sign) else { throw PolicyProblem(found.line, "'\(quoted(found.text))' stands after \(what); write '\(sign)' there") }
  }

  private mutating func word(_ what: String) throws(PolicyProblem) -> PolicyToken {
    guard let token = tokens.first else { throw PolicyProblem(line, "the line ends where \(what) must stand; add it") }
    guard token.kind == .word else { throw PolicyProblem(token.line, "'\(token.text)' stands where \(what) must stand") }
    _ = next()
    return token
  }
}

/// A word of a policy for a message: not longer than a reader needs.
func quoted(_ word: String) -> String { word.utf8.count <= 60 ? word : String(decoding: word.utf8.prefix(60), as: UTF8.self) + "..." }
