/// Lays text out in lines for a terminal.
enum TextLayout {
  /// How long lines may be.
  static let width = 80

  /// Breaks a text at its spaces.
  ///
  /// - Parameters:
  ///   - text: Words with single spaces between.
  ///   - indent: With how many spaces each line begins.
  static func paragraph(_ text: String, indent: Int = 0) -> String {
    let margin = String(repeating: " ", count: indent)
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
      if line.isEmpty {
        line = margin + word
      } else if line.count + 1 + word.count <= width {
        line += " " + word
      } else {
        lines.append(line)
        line = margin + word
      }
    }
    lines.append(line)
    return lines.joined(separator: "\n") + "\n"
  }

  /// A name with its explanation beside it, or below where the name is long.
  ///
  /// - Parameters:
  ///   - name: The name.
  ///   - text: The explanation.
  ///   - indent: Where the name begins.
  ///   - column: Where the explanation begins.
  static func entry(_ name: String, _ text: String, indent: Int, column: Int) -> String {
    let start = String(repeating: " ", count: indent) + name
    let explanation = paragraph(text, indent: column)
    guard start.count + 2 <= column else { return start + "\n" + explanation }
    return start + explanation.dropFirst(start.count)
  }
}
