import DiskImage
import Glibc
import Platform

/// The original's `qcow_img`: shows a qcow2 image's tables, writes into it, and converts.
enum QcowImg {
  private static let usage = """
    usage: qcow_img header FILE              the header's fields
           qcow_img l1_table FILE            the entries of the L1 table
           qcow_img l2_table FILE INDEX      those of the L2 table that an L1 entry refers to
           qcow_img ref_table FILE           the entries of the refcount table
           qcow_img ref_block FILE INDEX     the refcounts of a block
           qcow_img dd FILE SOURCE           write a file's bytes to the start of the disk
           qcow_img convert SOURCE TARGET    make a raw image of a qcow2 one, or a qcow2 image of any other

    """

  private struct BadUsage: Error {}

  static func main(_ words: [String]) -> Int32 {
    do {
      try perform(words)
      return 0
    } catch is BadUsage {
      complain(usage)
      return 2
    } catch {
      complain("qcow_img: \((error as? DiskError)?.text(for: .program) ?? "\(error)")\n")
      return 1
    }
  }

  private static func perform(_ words: [String]) throws {
    switch (words.first, words.count) {
    case ("header", 2): for field in try Qcow2Tables(path: words[1]).fields { print("\(field.name): 0x\(hexadecimal(field.value))") }
    case ("l1_table", 2): show(try Qcow2Tables(path: words[1]).l1())
    case ("l2_table", 3): show(try Qcow2Tables(path: words[1]).l2(try number(words[2])))
    case ("ref_table", 2): show(try Qcow2Tables(path: words[1]).refcountTable())
    case ("ref_block", 3): show(try Qcow2Tables(path: words[1]).refcountBlock(try number(words[2])))
    case ("dd", 3): try write(words[2], into: words[1])
    case ("convert", 3): try convert(words[1], to: words[2])
    case ("help", 1), ("--help", 1), ("-h", 1): print(usage, terminator: "")
    default: throw BadUsage()
    }
  }

  private static func number(_ word: String) throws -> Int {
    guard let number = Int(word), number >= 0 else { throw BadUsage() }
    return number
  }

  /// Entries that are not zero, each with its index.
  private static func show(_ entries: [UInt64]) {
    for (index, entry) in entries.enumerated() where entry != 0 { print("\(index): 0x\(hexadecimal(entry))") }
  }

  private static func hexadecimal(_ value: UInt64) -> String { String(value, radix: 16) }

  private static func write(_ source: String, into path: String) throws {
    var options = ImageFiles.Options()
    options.format = .qcow2
    let disk = try ImageFiles.open(path: path, options: options).assemble()
    let file = try OwnedDescriptor.open(source, flags: O_RDONLY)
    let writer = try DiskWriter(disk)
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    var offset: UInt64 = 0
    while true {
      let count = try fill(&chunk, from: file.number, source)
      if count == 0 { break }
      try writer.write(chunk.prefix(count), at: offset)
      offset += UInt64(count)
    }
    try writer.finish()
  }

  /// Reads until the buffer is full or the source ends: a pipe gives less at a time, which would be no whole sectors.
  private static func fill(_ chunk: inout [UInt8], from descriptor: Int32, _ source: String) throws -> Int {
    var filled = 0
    while filled < chunk.count {
      // In bounds: what is left of the buffer.
      let count = unsafe chunk.withUnsafeMutableBytes {
        unsafe read(descriptor, $0.baseAddress.map { unsafe $0 + filled }, $0.count - filled)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw SystemError.last("read \(source)") }
      if count == 0 { break }
      filled += count
    }
    return filled
  }

  private static func convert(_ source: String, to target: String) throws {
    var options = ImageFiles.Options()
    options.isReadOnly = true
    options.refusesForeign = true
    let files = try ImageFiles.open(path: source, options: options)
    try ImageConversion.convert(files, to: target, as: files.format == .qcow2 ? .raw : .qcow2(Qcow2Image.Format()))
  }

  static func complain(_ text: String) {
    let bytes = Array(text.utf8)
    _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
  }
}
