import Glibc

/// Files and commands that tests need.
enum File {
  /// The top folder of the repository.
  static var repository: String {
    let here = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return here.dropLast(3).joined(separator: "/")
  }

  /// The whole text of a file, `nil` where it cannot be read.
  static func contents(_ path: String) -> String? {
    guard let file = unsafe fopen(path, "re") else { return nil }
    defer { _ = unsafe fclose(file) }
    return unsafe everything(file)
  }

  /// Whether there is a program of this name.
  static func isInstalled(_ program: String) -> Bool { output("command -v \(program)") != nil }

  /// What a shell command prints; `nil` where it fails.
  static func output(_ command: String) -> String? {
    guard let pipe = unsafe popen(command, "re") else { return nil }
    let text = unsafe everything(pipe)
    return unsafe pclose(pipe) == 0 ? text : nil
  }

  /// Runs work with a file that has a text, and removes the file.
  static func with(_ text: String, suffix: String, work: (String) throws -> Void) rethrows {
    let path = "/tmp/crosvm-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))\(suffix)"
    guard let file = unsafe fopen(path, "wxe") else { return }
    _ = unsafe fputs(text, file)
    _ = unsafe fclose(file)
    defer { _ = unsafe unlink(path) }
    try work(path)
  }

  private static func everything(_ file: UnsafeMutablePointer<FILE>) -> String {
    var bytes: [UInt8] = []
    while let byte = UInt8(exactly: unsafe fgetc(file)) {
      bytes.append(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
