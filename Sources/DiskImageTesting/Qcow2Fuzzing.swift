internal import CLinux
internal import DiskImage
internal import Platform

/// Uses bytes as a qcow2 image, as a guest and a user would: reads, writes, zeroes, discards, grows, checks. Whatever they are, it comes back.
public func fuzzQcow2(_ bytes: [UInt8]) {
  var content = bytes
  // Tables that end behind what the fuzzer gives are zeroes.
  content += [UInt8](repeating: 0, count: max(0, Qcow2Fuzzer.fileSize - content.count))
  var options = Qcow2Image.Options()
  options.cacheSize = 64 << 10
  options.isReadOnly = true
  if let image = try? Qcow2Image(file: FaultyFile(content), path: "fuzzed", options: options) { Qcow2Fuzzer.read(image) }
  _ = try? Qcow2Image.check(file: FaultyFile(content), path: "fuzzed", repair: .nothing)
  options.isReadOnly = false
  if let image = try? Qcow2Image(file: FaultyFile(content, limit: Qcow2Fuzzer.fileLimit), path: "fuzzed", options: options) {
    Qcow2Fuzzer.change(image)
  }
}

/// Images to begin with.
public func qcow2Seeds() -> [[UInt8]] {
  var seeds: [[UInt8]] = []
  for (version, order) in [(2, 4), (3, 0), (3, 4), (3, 6)] as [(UInt32, Int)] {
    var format = Qcow2Image.Format()
    format.clusterBits = 9
    format.version = version
    format.refcountOrder = order
    let empty = FaultyFile()
    guard (try? Qcow2Image.create(file: empty, path: "seed", size: 64 << 10, format: format)) != nil else { continue }
    let file = FaultyFile(empty.content)
    if let image = try? Qcow2Image(file: file, path: "seed") { Qcow2Fuzzer.change(image) }
    seeds += [empty.content, Array(file.content.prefix(4096))]
  }
  return seeds
}

/// The parts of `fuzzQcow2`.
enum Qcow2Fuzzer {
  static let fileSize = 64 << 10
  static let fileLimit = 8 << 20
  private static let pieces: [UInt64] = [0, 512, 4096, 32 << 10, 1 << 20, 1 << 40]

  static func read(_ image: Qcow2Image) {
    for offset in pieces where offset < image.size { _ = transfer(image, isWrite: false, offset, min(8192, image.size - offset)) }
    _ = transfer(image, isWrite: false, image.size - 512, 512)
  }

  static func change(_ image: Qcow2Image) {
    for offset in pieces where offset < image.size {
      let count = min(4096, image.size - offset)
      _ = transfer(image, isWrite: true, offset, min(count, 1024))
      _ = image.writeZeroes(offset: offset, count: count, mayDiscard: offset & 512 == 0)
      _ = transfer(image, isWrite: true, offset, 512)
      _ = image.discard(offset: offset, count: count)
    }
    _ = image.flush()
    if image.size < 1 << 30 { try? image.resize(to: image.size + (64 << 10)) }
    read(image)
    image.finish()
  }

  private static func transfer(_ image: Qcow2Image, isWrite: Bool, _ offset: UInt64, _ count: UInt64) -> Int {
    guard let memory = try? MemoryMapping.anonymous(count: Int(count)) else { return 0 }
    var vector = unsafe iovec(iov_base: memory.base, iov_len: Int(count))
    return unsafe withUnsafeMutablePointer(to: &vector) {
      unsafe image.transfer(isWrite: isWrite, vectors: BufferVectors(first: $0, count: 1), offset: offset, isDurable: false)
    }
  }
}
