import Foundation
import Glibc
import Testing

/// QEMU's tools, and others that tell whether an image is what it should be.
enum Tool {
  /// Whether the packages of the tests for images are there.
  static let hasImages = ["qemu-img", "qemu-io", "img2simg"].allSatisfy { name in unsafe access("/usr/bin/" + name, X_OK) == 0 }

  /// Whether there is passt, for the network of the user's own programs.
  static let hasPasst = unsafe access("/usr/bin/passt", X_OK) == 0

  /// Runs a program and expects that it succeeds.
  ///
  /// - Returns: What it printed.
  @discardableResult
  static func run(
    _ words: String..., in workplace: Workplace, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> String {
    let ending = try Crosvm(Array(words.dropFirst()), in: workplace, program: words[0]).end()
    #expect(ending.status == 0, "\(words): \(ending)", sourceLocation: sourceLocation)
    return ending.output
  }

  /// Whether two images have the same disk, the same size included, each of the format that QEMU is told.
  static func haveSameDisk(
    _ one: String, _ oneFormat: String, _ other: String, _ otherFormat: String, in workplace: Workplace
  ) throws -> Bool {
    let words = ["compare", "-f", oneFormat, "-F", otherFormat, one, other]
    // A different size is a warning.
    return try Crosvm(words, in: workplace, program: "qemu-img").end().output == "Images are identical.\n"
  }

  /// Whether QEMU finds nothing wrong in a qcow2 image.
  static func isClean(_ name: String, in workplace: Workplace) throws -> Bool {
    try Crosvm(["check", "-q", "-f", "qcow2", name], in: workplace, program: "qemu-img").end().status == 0
  }
}

/// What tools print for other programs.
enum JSON {
  static func object(_ text: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
  }

  /// Everything that we say of an image, QEMU must say as well. Names of files are written as the user gave them.
  static func expectSame(_ ours: [String: Any], as theirs: [String: Any], ignoring: Set<String> = []) {
    for (key, value) in ours where !ignoring.contains(key) {
      if let part = value as? [String: Any], let theirPart = theirs[key] as? [String: Any] {
        expectSame(part, as: theirPart)
      } else {
        #expect("\(value)" == theirs[key].map { "\($0)" } ?? "nothing", "\(key)")
      }
    }
  }

  static func list(_ text: String) throws -> [[String: Any]] {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]], "\(text)")
  }
}
