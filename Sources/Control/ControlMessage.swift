/// The frame of requests and responses: a packet of text, `crosvm 1 WORDS` (docs/control-socket.md).
public enum ControlMessage {
  /// The version of the protocol that is spoken here.
  public static let version = 1
  /// The most bytes of a packet.
  public static let sizeLimit = 4096

  private static let name = "crosvm"

  /// The packet for some words. What does not fit is cut off, at the boundary of a character; control characters become spaces.
  package static func packet(_ words: String) -> [UInt8] {
    var text = "\(name) \(version) "
    for scalar in words.unicodeScalars {
      let scalar = isControl(scalar) ? " " : scalar
      guard text.utf8.count + UTF8.width(scalar) <= sizeLimit else { break }
      text.unicodeScalars.append(scalar)
    }
    return Array(text.utf8)
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool { scalar.value < 0x20 || scalar.value == 0x7f }

  /// The words of a packet that another process sent.
  package static func words(of packet: some Collection<UInt8>) throws(ControlError) -> Substring {
    guard packet.count <= sizeLimit else { throw .badMessage("it is longer than \(sizeLimit) bytes") }
    guard let text = String(validating: packet, as: UTF8.self) else { throw .badMessage("it is not UTF-8") }
    guard !text.unicodeScalars.contains(where: isControl) else { throw .badMessage("it has control characters") }
    let parts = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == name else { throw .badMessage("it does not begin with '\(name) \(version) '") }
    guard parts[1] == "\(version)" else { throw .otherVersion(printable(parts[1])) }
    return parts[2]
  }

  /// A foreign word as it may stand in a message.
  private static func printable(_ word: Substring) -> String { "'\(word.prefix(8))'" }
}
