import CommandLine
import Logging

/// Which messages are written.
struct LogLevels: Equatable {
  /// The lowest level that is written, `nil` for no message at all.
  typealias Threshold = Logger.Level?

  /// For the parts that are not named.
  var common: Threshold = .info

  /// For the parts that are, by their names.
  var byName: [String: Threshold] = [:]

  /// The lowest level that a part writes, `nil` for no message at all.
  ///
  /// - Parameter name: Its name. What is said of `block` holds for `block0` too, unless more is said of that.
  subscript(name: String) -> Threshold {
    if let threshold = byName[name] { return threshold }
    let kind = name.prefix { !$0.isNumber }
    return byName[String(kind)] ?? common
  }

  /// The words for levels.
  static let words: [String: Threshold] = [
    "off": .none, "critical": .critical, "error": .error, "warn": .warning, "warning": .warning, "notice": .notice, "info": .info,
    "debug": .debug, "trace": .trace,
  ]
}

extension ValueType where Value == LogLevels {
  /// Levels such as `info` or `warn,block=trace`.
  static var logLevels: ValueType {
    let expected = "off, error, warn, info, debug or trace, or NAME=LEVEL"
    let choices = ValueShape.Completion.words(["off", "error", "warn", "info", "debug", "trace"])
    return ValueType(ValueShape("LEVELS", expected: expected, completion: choices)) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      var levels = LogLevels()
      for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        let word = part.lastIndex(of: "=").map { part[part.index(after: $0)...] } ?? part
        guard let threshold = LogLevels.words[String(word)] else {
          let offset = text.utf8.distance(from: text.startIndex, to: word.startIndex)
          throw ValueError("\(quoted(String(word))) is not a level", at: node.position + offset, remedy: "give \(expected)")
        }
        guard let equals = part.lastIndex(of: "=") else {
          levels.common = threshold
          continue
        }
        levels.byName[String(part[..<equals])] = .some(threshold)
      }
      return levels
    }
  }
}
