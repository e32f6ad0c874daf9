import CLinux
import Glibc
import Platform
import Testing

/// QEMU's own tools, which decide whether an image is one.
enum QemuImg {
  static let isInstalled = unsafe access("/usr/bin/qemu-img", X_OK) == 0 && access("/usr/bin/qemu-io", X_OK) == 0

  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  /// Runs a shell command; its words come from this file only. Returns what it printed, both streams.
  @discardableResult
  static func shell(_ command: String, expecting status: Int32? = 0) throws -> String {
    guard let pipe = unsafe popen("( \(command) ) 2>&1", "re") else { throw SystemError.last("run \(command)") }
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = unsafe fread(&buffer, 1, buffer.count, pipe)
      if count == 0 { break }
      text += buffer.prefix(count)
    }
    let result = clinux_exit_status(unsafe pclose(pipe))
    let output = String(decoding: text, as: UTF8.self)
    if let status, result != status { throw Failure(description: "\(command) ended with \(result): \(output)") }
    return output
  }

  /// Makes an image: `options` are those of `qemu-img create` and `-o`.
  static func create(_ path: String, _ size: Int, _ options: String = "", arguments: String = "") throws {
    try shell("qemu-img create -q -f qcow2 \(arguments) \(options.isEmpty ? "" : "-o \(options)") \(path) \(size)")
  }

  /// Does what qemu-io's commands say.
  static func io(_ path: String, _ commands: [String], format: String = "qcow2") throws {
    try shell("qemu-io -f \(format) " + commands.map { "-c '\($0)'" }.joined(separator: " ") + " \(path)")
  }

  /// What qemu-img's check finds: nothing, or what it says.
  static func check(_ path: String) throws -> String? {
    let output = try shell("qemu-img check -q -f qcow2 \(path) && echo clean", expecting: nil)
    return output.hasSuffix("clean\n") ? nil : output
  }

  /// Whether qemu-img finds an image sound but for lost clusters, exit status 3 (qemu-img(1)).
  static func isSound(_ path: String) throws -> Bool {
    let output = try shell("qemu-img check -f qcow2 \(path); echo status $?", expecting: nil)
    return output.hasSuffix("status 0\n") || output.hasSuffix("status 3\n")
  }

  /// All bytes of an image's disk, as QEMU reads them.
  static func content(_ path: String, in directory: String) throws -> [UInt8] {
    let raw = "\(directory)/content-\(kernelNumber()).raw"
    try shell("qemu-img convert -f qcow2 -O raw \(path) \(raw)")
    defer { _ = unsafe unlink(raw) }
    return try fileContent(raw)
  }

  private static func kernelNumber() -> Int { Int(clinux_gettid()) &* 1_000_003 &+ Int(rand() & 0xffff) }
}

/// All bytes of a file.
func fileContent(_ path: String) throws -> [UInt8] {
  let file = try OwnedDescriptor.open(path, flags: O_RDONLY)
  let size = lseek(file.number, 0, SEEK_END)
  var bytes = [UInt8](repeating: 0, count: max(0, size))
  let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(file.number, $0.baseAddress, $0.count, 0) }
  guard count == size else { throw SystemError.last("read \(path)") }
  return bytes
}

/// Puts bytes into a new file.
func makeFile(_ path: String, _ bytes: [UInt8]) throws {
  let file = try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT | O_TRUNC, mode: 0o600)
  let count = unsafe bytes.withUnsafeBytes { unsafe pwrite(file.number, $0.baseAddress, $0.count, 0) }
  guard count == bytes.count else { throw SystemError.last("write \(path)") }
}

/// A directory that goes with all its files when the test ends.
final class Folder {
  let path: String

  init() throws {
    var template = Array("/tmp/qcow2-test-XXXXXX\0".utf8.map { CChar(bitPattern: $0) })
    guard unsafe mkdtemp(&template) != nil else { throw SystemError.last("make a directory") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { _ = try? QemuImg.shell("rm -rf \(path)") }

  subscript(name: String) -> String { "\(path)/\(name)" }
}
