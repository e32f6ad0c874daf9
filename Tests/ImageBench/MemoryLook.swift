import DiskImage
import Glibc
import Platform

/// How much memory the tables of a qcow2 image take.
struct MemoryLook {
  private let path: String
  private let count: Int
  private let cacheSize: UInt64?

  init?(_ words: [String]) {
    guard (4...5).contains(words.count), words[1] == "memory", let count = Int(words[3]) else { return nil }
    (path, self.count) = (words[2], count)
    cacheSize = words.count == 5 ? UInt64(words[4]) : nil
    guard words.count == 4 || cacheSize != nil else { return nil }
  }

  /// Opens the image and reads sectors in places that look random.
  ///
  /// - Returns: By how many bytes the process has grown.
  func growth() throws -> Int {
    var options = ImageFiles.Options()
    options.format = .qcow2
    options.allowsBacking = true
    options.isReadOnly = true
    if let cacheSize { options.cacheSize = cacheSize }
    let memory = try MemoryMapping.anonymous(count: 512)
    let before = try MemoryLook.resident()
    let disk = try ImageFiles.open(path: path, options: options).assemble()
    let channel = try disk.makeChannel(depth: 1, buffers: nil, ring: nil)
    try channel.start()
    var place: UInt64 = 1
    for _ in 0..<count {
      // xorshift: each number once in 2 to the power of 64.
      place ^= place << 13
      place ^= place >> 7
      place ^= place << 17
      channel.clear(slot: 0)
      _ = unsafe channel.addBuffer(memory.base, count: 512, slot: 0)
      channel.begin(.read, slot: 0, offset: place % (disk.size / 512) * 512, count: 512, isDurable: false)
      guard case .ended(_, let code) = channel.next() else { throw SystemError("read the disk", code: EIO) }
      guard code == 0 else { throw SystemError("read the disk", code: code) }
    }
    let after = try MemoryLook.resident()
    channel.end()
    return after - before
  }

  /// The bytes of the process's own memory that are taken now: not those of its program (proc(5), the field RssAnon of status).
  private static func resident() throws -> Int {
    let file = try OwnedDescriptor.open("/proc/self/status", flags: O_RDONLY)
    var bytes = [UInt8](repeating: 0, count: 8192)
    let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(file.number, $0.baseAddress, $0.count) }
    let lines = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(separator: "\n")
    let fields = lines.first { $0.hasPrefix("RssAnon:") }?.split { $0 == " " || $0 == "\t" } ?? []
    guard fields.count > 1, let kibibytes = Int(fields[1]) else { throw SystemError("read /proc/self/status", code: EIO) }
    return kibibytes * 1024
  }
}
