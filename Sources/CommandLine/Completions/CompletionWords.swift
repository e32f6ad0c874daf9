/// What the completions of every shell have in common: how the kind of a value is told to the functions that offer values.

extension ValueShape {
  /// `file`, `directory`, `boolean`, `none`, or the words with bars between.
  var completionKind: String {
    if isBoolean { return "boolean" }
    switch completion {
    case .none: return "none"
    case .file: return "file"
    case .directory: return "directory"
    case .words(let words): return words.joined(separator: "|")
    }
  }

  /// Each key with its kind after a slash, `nil` where the value has no keys.
  var completionFields: [String]? {
    fields?.fields.map { "\($0.name)/\($0.shape.completionKind)" }
  }
}

extension OptionDescription {
  /// The option's names with their hyphens.
  var names: [String] {
    (short.map { ["-\($0)"] } ?? []) + ["--" + name]
  }
}

extension Command {
  /// Each visible command from this one down, after those above it.
  var completionPaths: [[Command]] {
    [[self]] + visibleSubcommands.flatMap { $0.completionPaths.map { [self] + $0 } }
  }
}

/// A text in single quotes, as Bourne's shell and its kin read it.
func shellQuoted(_ text: String) -> String {
  "'" + String(text.flatMap { $0 == "'" ? "'\\''" : String($0) }) + "'"
}

/// The first sentence of a text, without its full stop.
func firstSentence(_ text: String) -> String {
  let end = text.indices.first { text[$0] == "." && (text[text.index(after: $0)...].first ?? " ") == " " } ?? text.endIndex
  return String(text[..<end])
}
