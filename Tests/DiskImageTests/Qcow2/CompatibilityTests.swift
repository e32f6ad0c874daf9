import DiskImage
import Testing

/// Images that QEMU makes are read and written, and QEMU reads what was written.
@Suite(.enabled(if: QemuImg.isInstalled)) struct Qcow2CompatibilityTests {
  /// How an image is made.
  struct Variant: Sendable, CustomTestStringConvertible {
    var options: String
    var isCompressed = false
    var hasBacking = false
    var hasSnapshot = false
    var testDescription: String {
      options + (isCompressed ? " compressed" : "") + (hasBacking ? " backed" : "") + (hasSnapshot ? " snapshot" : "")
    }
  }

  static let size = 3 << 20

  static let variants: [Variant] = {
    var variants: [Variant] = []
    for bits in [9, 10, 12, 14, 16, 18, 21] {
      variants.append(Variant(options: "compat=0.10,cluster_size=\(1 << bits)"))
      variants.append(Variant(options: "compat=1.1,cluster_size=\(1 << bits)"))
      variants.append(Variant(options: "compat=1.1,cluster_size=\(1 << bits)", isCompressed: true))
      variants.append(Variant(options: "compat=1.1,cluster_size=\(1 << bits)", hasBacking: true))
      variants.append(Variant(options: "compat=1.1,cluster_size=\(1 << bits)", hasSnapshot: true))
    }
    for width in [1, 2, 4, 8, 16, 32, 64] {
      variants.append(Variant(options: "refcount_bits=\(width),cluster_size=4096", hasBacking: width > 4))
      if width > 1 { variants.append(Variant(options: "refcount_bits=\(width),cluster_size=1024", hasSnapshot: true)) }
      variants.append(Variant(options: "refcount_bits=\(width),cluster_size=512"))
    }
    for bits in [9, 12, 16] {
      variants.append(Variant(options: "compression_type=zstd,cluster_size=\(1 << bits)", isCompressed: true))
      variants.append(Variant(options: "compat=0.10,cluster_size=\(1 << bits)", isCompressed: true))
      variants.append(Variant(options: "compat=0.10,cluster_size=\(1 << bits)", hasBacking: true))
      variants.append(Variant(options: "compat=0.10,cluster_size=\(1 << bits)", hasSnapshot: true))
      variants.append(Variant(options: "lazy_refcounts=on,cluster_size=\(1 << bits)"))
      variants.append(Variant(options: "preallocation=metadata,cluster_size=\(1 << bits)"))
    }
    for allocation in ["falloc", "full"] { variants.append(Variant(options: "preallocation=\(allocation)")) }
    for bits in [14, 16, 18] {
      variants.append(Variant(options: "extended_l2=on,cluster_size=\(1 << bits)"))
      variants.append(Variant(options: "extended_l2=on,cluster_size=\(1 << bits)", isCompressed: true))
      variants.append(Variant(options: "extended_l2=on,cluster_size=\(1 << bits)", hasBacking: true))
      variants.append(Variant(options: "extended_l2=on,cluster_size=\(1 << bits)", hasSnapshot: true))
    }
    variants.append(Variant(options: "extended_l2=on,preallocation=metadata"))
    return variants
  }()

  @Test func thereAreEnough() { #expect(Qcow2CompatibilityTests.variants.count >= 60) }

  @Test(arguments: variants) func contentsAreEqualBothWays(_ variant: Variant) throws {
    let folder = try Folder()
    let path = folder["image.qcow2"]
    try make(variant, path, folder)
    let expected = try QemuImg.content(path, in: folder.path)
    let image = try openQcow2(path, backing: variant.hasBacking)
    #expect(Int(image.size) == expected.count)
    #expect(try image.bytes(0, expected.count) == expected)
    var model = expected
    try change(image, &model, seed: UInt64(variant.options.utf8.count))
    #expect(try image.bytes(0, model.count) == model)
    image.finish()
    #expect(try QemuImg.content(path, in: folder.path) == model)
    #expect(try QemuImg.check(path) == nil)
    let report = try Qcow2Image.check(path: path, repair: .nothing)
    #expect(report.isClean)
    if variant.hasSnapshot {
      // What was written did not touch the saved state.
      try QemuImg.shell("qemu-img snapshot -a saved \(path)")
      let saved = try snapshotContent(folder)
      #expect(try QemuImg.content(path, in: folder.path).prefix(1 << 20) == saved.prefix(1 << 20))
      #expect(try QemuImg.check(path) == nil)
    }
  }

  private func make(_ variant: Variant, _ path: String, _ folder: Folder) throws {
    let commands = ["write -P 17 0 70k", "write -P 34 200k 3k", "write -P 51 1M 600k", "write -z 1200k 100k", "write -P 68 2900k 20k"]
    if variant.isCompressed {
      try QemuImg.shell("qemu-img create -q -f raw \(folder["plain"]) \(Qcow2CompatibilityTests.size)")
      try QemuImg.io(folder["plain"], commands.filter { !$0.contains("-z") }, format: "raw")
      try QemuImg.shell("qemu-img convert -c -f raw -O qcow2 -o \(variant.options) \(folder["plain"]) \(path)")
      return
    }
    var arguments = ""
    if variant.hasBacking {
      try QemuImg.shell("qemu-img create -q -f raw \(folder["base"]) 2M")
      try QemuImg.io(folder["base"], ["write -P 85 0 2M"], format: "raw")
      arguments = "-b base -F raw"
    }
    try QemuImg.create(path, Qcow2CompatibilityTests.size, variant.options, arguments: arguments)
    try QemuImg.io(path, commands)
    if variant.hasSnapshot {
      try QemuImg.shell("qemu-img snapshot -c saved \(path)")
      try QemuImg.io(path, ["write -P 99 10k 100k", "write -P 98 1100k 50k"])
    }
    if !variant.isCompressed { try QemuImg.io(path, ["discard 1500k 64k", "write -P 1 1600k 512"]) }
  }

  private func snapshotContent(_ folder: Folder) throws -> [UInt8] {
    let path = folder["again.qcow2"]
    try QemuImg.create(path, Qcow2CompatibilityTests.size)
    try QemuImg.io(path, ["write -P 17 0 70k", "write -P 34 200k 3k"])
    return try QemuImg.content(path, in: folder.path)
  }

  /// Writes here and there, whole clusters and parts, and changes the model alike.
  private func change(_ image: Qcow2Image, _ model: inout [UInt8], seed: UInt64) throws {
    var dice = Dice(seed)
    for round in 0..<24 {
      let count = (1 + dice.below(round % 4 == 0 ? 400 : 20)) * 512
      let offset = dice.below((model.count - count) / 512 + 1) * 512
      let bytes = [UInt8](repeating: UInt8(100 + round), count: count)
      try image.store(bytes, at: offset)
      model.replaceSubrange(offset..<offset + count, with: bytes)
      if round % 6 == 5 {
        #expect(image.writeZeroes(offset: UInt64(offset / 2 / 512 * 512), count: UInt64(count), mayDiscard: round % 2 == 0) == 0)
        model.replaceSubrange(offset / 2 / 512 * 512..<offset / 2 / 512 * 512 + count, with: repeatElement(0, count: count))
      }
      if round % 8 == 7 { #expect(image.flush() == 0) }
    }
    #expect(image.flush() == 0)
  }
}
