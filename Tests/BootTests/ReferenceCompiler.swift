import Glibc
import Platform
import Testing

/// ACPICA's compiler and disassembler, in a directory of its own that goes with it.
final class ReferenceCompiler {
  private let directory: String

  struct RoundTrip {
    let table: [UInt8]
    /// The lines of both runs that report an error, a warning or a remark.
    let complaints: [String]
  }

  init() throws {
    guard unsafe system("command -v iasl >/dev/null 2>&1") == 0 else { throw Missing() }
    var template = Array("/tmp/crosvm-acpi-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw SystemError.last("make a directory") }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { _ = unsafe system("rm -rf '\(directory)'") }

  struct Missing: Error, CustomStringConvertible {
    var description: String { "iasl is missing; install acpica-tools" }
  }

  /// The table in source form.
  func disassembled(_ table: [UInt8]) throws -> String {
    try write(table, "table.dat")
    _ = try run("iasl -d table.dat")
    return String(decoding: try read("table.dsl"), as: UTF8.self)
  }

  /// Takes the table apart and compiles the result.
  func roundTrip(_ table: [UInt8], name: String) throws -> RoundTrip {
    try write(table, "table.dat")
    let output = try run("iasl -d table.dat") + run("iasl -p again table.dsl")
    let complaints = output.split(separator: "\n").filter { line in
      ["Error ", "Warning ", "Remark ", "rror:", "arning:", "AE_", "nvalid"].contains { line.contains($0) }
    }
    return RoundTrip(table: try read("again.aml"), complaints: complaints.map(String.init))
  }

  private func run(_ command: String) throws -> String {
    let status = unsafe system("cd '\(directory)' && \(command) >output 2>&1")
    let output = String(decoding: try read("output"), as: UTF8.self)
    try #require(status == 0, "\(command): \(output)")
    return output
  }

  private func write(_ bytes: [UInt8], _ name: String) throws {
    let file = try OwnedDescriptor.open("\(directory)/\(name)", flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600).release()
    defer { close(file) }
    try retrying("write \(name)") { unsafe Glibc.write(file, bytes, bytes.count) }
  }

  private func read(_ name: String) throws -> [UInt8] {
    let file = try OwnedDescriptor.open("\(directory)/\(name)", flags: O_RDONLY).release()
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = try retrying("read \(name)") { unsafe Glibc.read(file, &bytes, 1 << 20) }
    return Array(bytes.prefix(count))
  }
}
