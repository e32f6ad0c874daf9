import DiskImage
import Glibc
import Platform

/// The engine of disk images alone: no guest, no device.
enum ImageBench {
  private struct Run {
    let path: String
    let format: ImageFormat
    let count: Int
    let depth: Int
    let size: Int
    let step: UInt64
    let isWrite: Bool

    init?(_ words: [String]) {
      guard words.count == 8, let format = ImageFormat(rawValue: words[2]), let count = Int(words[3]), let depth = Int(words[4]),
        let size = Int(words[5]), let step = UInt64(words[6]), count > 0, (1...1024).contains(depth), size > 0, size % 512 == 0
      else { return nil }
      (path, self.format, self.count, self.depth, self.size, self.step, isWrite) = (
        words[1], format, count, depth, size, step, words[7] == "write"
      )
    }
  }

  static func main(_ words: [String]) -> Int32 {
    do {
      if let look = MemoryLook(words) {
        print(try look.growth())
      } else if let run = Run(words) {
        print(try seconds(run))
      } else {
        print("usage: image-bench FILE raw|qcow2 COUNT DEPTH SIZE STEP read|write\n       image-bench memory FILE COUNT [CACHE-SIZE]")
        return 2
      }
      return 0
    } catch {
      print("image-bench: \(error)")
      return 1
    }
  }

  private static func seconds(_ run: Run) throws -> Double {
    var options = ImageFiles.Options()
    options.format = run.format
    options.isReadOnly = !run.isWrite
    options.isLocked = false
    let disk = try ImageFiles.open(path: run.path, options: options).assemble()
    let memory = try MemoryMapping.anonymous(count: run.depth * run.size)
    let channel = try disk.makeChannel(depth: run.depth, buffers: nil, ring: try IOUring(depth: run.depth))
    try channel.start()
    let start = monotonicNanoseconds()
    try serve(run, disk.size, channel, memory)
    let end = monotonicNanoseconds()
    channel.end()
    disk.finish()
    return Double(end - start) / 1e9
  }

  /// Keeps as many requests under way as the run says.
  private static func serve(_ run: Run, _ diskSize: UInt64, _ channel: any DiskChannel, _ memory: MemoryMapping) throws {
    var (begun, ended) = (0, 0)
    var offset: UInt64 = 0
    func begin(_ slot: Int) {
      if offset + UInt64(run.size) > diskSize { offset %= UInt64(run.size) }
      channel.clear(slot: slot)
      // In bounds: each slot has its part of the memory.
      _ = unsafe channel.addBuffer(memory.base + slot * run.size, count: run.size, slot: slot)
      channel.begin(run.isWrite ? .write : .read, slot: slot, offset: offset, count: UInt64(run.size), isDurable: false)
      offset = (offset + run.step) % diskSize / 512 * 512
      begun += 1
    }
    for slot in 0..<min(run.depth, run.count) { begin(slot) }
    while ended < run.count {
      while let event = channel.next() {
        guard case .ended(let slot, let code) = event else { continue }
        guard code == 0 else { throw SystemError("request", code: code) }
        ended += 1
        if begun < run.count { begin(slot) }
      }
      if ended < run.count { try channel.wait(mayBlock: true) }
    }
  }
}
