internal import CommandLine

/// Takes any bytes apart as the value of an option.
///
/// - Returns: What is wrong with the result, `nil` if nothing is.
public func fuzzCommandLineValue(_ bytes: [UInt8]) -> String? {
  do {
    let items = try ValueParser.fields(in: bytes)
    return items.isEmpty ? "no field and no error" : items.lazy.compactMap { misplaced($0, bytes.count) }.first
  } catch {
    guard let position = error.position, (0...bytes.count).contains(position) else { return "the position is outside: \(error)" }
    let line = error.description(in: String(decoding: bytes, as: UTF8.self))
    return isOneLine(line) ? nil : "the message is not one line: \(line)"
  }
}

/// Whether a terminal shows a text as one line: whether it has no control characters.
public func isOneLine(_ text: String) -> Bool { text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } }

/// Says which piece lies outside the value.
private func misplaced(_ item: ValueItem, _ count: Int) -> String? {
  guard (0...count).contains(item.position), (0...count).contains(item.value.position) else { return "\(item) lies outside" }
  switch item.value.content {
  case .argument, .text: return nil
  case .list(let items), .variant(_, let items): return items.lazy.compactMap { misplaced($0, count) }.first
  }
}
