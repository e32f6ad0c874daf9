/// Reads a policy's file and those that it includes into one list of rules.
struct PolicyReader {
  /// How deep files may include one another.
  static let deepest = 8
  /// How many files one policy may include, all in all.
  static let mostIncludes = 32

  private(set) var rules: [PolicyRule] = []
  private(set) var violation: SeccompPolicy.Violation?

  private let architecture: Architecture
  private var ruleOfCall: [Int32: Int] = [:]
  private var placeOfDefault: String?
  /// From the policy itself to the file that is being read.
  private var openFiles: [String] = []
  private var includes = 0

  init(architecture: Architecture) { self.architecture = architecture }

  /// Adds the rules of a text; `include` gives the text of a file, or `nil`.
  mutating func read(_ text: String, file: String, include: (String) -> String?) throws(PolicyError) {
    openFiles.append(file)
    for statement in try PolicyReader.locating(file, { () throws(PolicyProblem) in try PolicyLexer.statements(of: text) }) {
      guard case .directive("include", let argument, let line) = statement else {
        try PolicyReader.locating(file) { () throws(PolicyProblem) in try take(statement, file: file) }
        continue
      }
      let path = try PolicyReader.locating(file) { () throws(PolicyProblem) in try pathOfIncluded(argument, from: file, line: line) }
      guard let text = include(path) else {
        let problem = "the included file '\(quoted(path))' is missing or cannot be read; correct its name, or remove the line"
        throw .mistake(file: file, line: line, problem: problem)
      }
      try read(text, file: path, include: include)
    }
    openFiles.removeLast()
  }

  /// Adds to a problem the file that has it.
  private static func locating<Result>(_ file: String, _ body: () throws(PolicyProblem) -> Result) throws(PolicyError) -> Result {
    do { return try body() } catch { throw .mistake(file: file, line: error.line, problem: error.text) }
  }

  private mutating func take(_ statement: PolicyStatement, file: String) throws(PolicyProblem) {
    switch statement {
    case .tokens(let tokens):
      for rule in try PolicyParser.rules(tokens, architecture: architecture, file: file) { try add(rule) }
    case .directive("default", let argument, let line): try setDefault(argument, file: file, line: line)
    // How often each call is made, which minijail's compiler sorts by. The answer is the same without.
    case .directive("frequency", _, _): break
    case .directive(let name, _, let line):
      throw PolicyProblem(line, "'@\(quoted(name))' is not known; there are @include, @default and @frequency")
    }
  }

  private mutating func add(_ rule: PolicyRule) throws(PolicyProblem) {
    if let index = ruleOfCall[rule.number] {
      let place = "\(rules[index].file):\(rules[index].line)"
      throw PolicyProblem(rule.line, "'\(rule.call)' has a line already, \(place); join the two with ||, or remove one")
    }
    ruleOfCall[rule.number] = rules.count
    rules.append(rule)
  }

  private mutating func pathOfIncluded(_ argument: String, from file: String, line: Int) throws(PolicyProblem) -> String {
    guard !argument.isEmpty else { throw PolicyProblem(line, "'@include' needs the name of a file") }
    let parts = argument.split(separator: "/", omittingEmptySubsequences: false)
    guard !argument.hasPrefix("/"), !parts.contains("..") else {
      throw PolicyProblem(line, "'\(quoted(argument))' leaves the policy's directory; name a file in it, such as ./common_device.policy")
    }
    let directory = file.split(separator: "/", omittingEmptySubsequences: false).dropLast()
    let path = (directory + parts.filter { $0 != "." && $0 != "" }).joined(separator: "/")
    guard !openFiles.contains(path) else {
      throw PolicyProblem(line, "'\(quoted(argument))' includes itself; remove this line, or the other one")
    }
    guard openFiles.count <= PolicyReader.deepest else {
      throw PolicyProblem(line, "files include one another more than \(PolicyReader.deepest) deep; include fewer")
    }
    includes += 1
    guard includes <= PolicyReader.mostIncludes else {
      throw PolicyProblem(line, "more than \(PolicyReader.mostIncludes) files are included; include fewer")
    }
    return path
  }

  private mutating func setDefault(_ argument: String, file: String, line: Int) throws(PolicyProblem) {
    if let placeOfDefault { throw PolicyProblem(line, "'@default' stands already at \(placeOfDefault); remove one") }
    guard let violation = SeccompPolicy.Violation(rawValue: argument) else {
      let known = SeccompPolicy.Violation.allCases.map(\.rawValue).joined(separator: ", ")
      throw PolicyProblem(line, "'@default \(quoted(argument))' is not known; write one of \(known)")
    }
    self.violation = violation
    placeOfDefault = "\(file):\(line)"
  }
}
