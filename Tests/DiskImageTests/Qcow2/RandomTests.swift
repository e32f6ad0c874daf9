import DiskImage
import DiskImageTesting
import Platform
import Testing

/// Random operations against a model, on images of many shapes; with and without a sudden end.
@Suite struct Qcow2RandomTests {
  struct Shape: Sendable, CustomTestStringConvertible {
    var clusterBits: Int
    var refcountOrder = 4
    var version: UInt32 = 3
    var isBacked = false
    var cacheSize = 1 << 20
    var testDescription: String { "bits \(clusterBits) order \(refcountOrder) version \(version) \(isBacked ? "backed" : "")" }
  }

  static let shapes: [Shape] =
    [
      Shape(clusterBits: 9), Shape(clusterBits: 9, cacheSize: 4096), Shape(clusterBits: 12), Shape(clusterBits: 16), Shape(clusterBits: 21),
      Shape(clusterBits: 9, version: 2), Shape(clusterBits: 12, version: 2, isBacked: true), Shape(clusterBits: 9, isBacked: true),
      Shape(clusterBits: 10, isBacked: true, cacheSize: 4096), Shape(clusterBits: 13, isBacked: true),
      Shape(clusterBits: 16, isBacked: true),
    ] + (0...6).map { Shape(clusterBits: 9 + $0 % 2, refcountOrder: $0) }

  static let sectors = 600

  /// An empty image in memory, and what it is backed by.
  private static func make(_ shape: Shape) throws -> (content: [UInt8], model: ModelDisk) {
    let file = FaultyFile()
    var format = Qcow2Image.Format()
    format.clusterBits = shape.clusterBits
    format.refcountOrder = shape.refcountOrder
    format.version = shape.version
    if shape.isBacked { format.backing = ("base", "raw") }
    try Qcow2Image.create(file: file, path: "test", size: UInt64(sectors * 512), format: format)
    let model = ModelDisk(sectors: sectors) { shape.isBacked && $0 < 700 ? UInt32(0x80_0000 + $0) : 0 }
    return (file.content, model)
  }

  /// A disk of stamps, longer than the image is at first.
  private final class Base: SynchronousDisk {
    let size: UInt64 = 700 * 512
    let isReadOnly = true
    let alignment = 512
    let discards = false
    private let file = FaultyFile((0..<700).flatMap { ModelDisk.bytes(UInt32(0x80_0000 + $0), 1) })

    @unsafe func transfer(isWrite: Bool, vectors: BufferVectors, offset: UInt64, isDurable: Bool) -> Int {
      unsafe file.read(vectors, at: offset)
    }
    func flush() -> Int32 { 0 }
    func discard(offset: UInt64, count: UInt64) -> Int32 { 0 }
    func writeZeroes(offset: UInt64, count: UInt64, mayDiscard: Bool) -> Int32 { 30 }
    func resize(to bytes: UInt64) throws(DiskError) { throw .cannotResize("base", "never") }
    func makeChannel(depth: Int, buffers: (any AnyObject & Sendable)?, ring: IOUring?) throws(DiskError) -> any DiskChannel {
      throw .cannotResize("base", "never")
    }
  }

  private static let base = Base()

  private func open(_ file: FaultyFile, _ shape: Shape) throws -> Qcow2Image {
    var options = Qcow2Image.Options()
    options.cacheSize = shape.cacheSize
    return try Qcow2Image(file: file, path: "test", backing: shape.isBacked ? Qcow2RandomTests.base : nil, options: options)
  }

  private func content(_ image: Qcow2Image) throws -> [UInt32] { try #require(ModelDisk.stamps(try image.bytes(0, Int(image.size)))) }

  @Test(arguments: shapes) func whatIsReadIsWhatTheModelHas(_ shape: Shape) throws {
    let (bytes, model) = try Qcow2RandomTests.make(shape)
    var use = RandomUse(dice: Dice(UInt64(shape.clusterBits * 10 + shape.refcountOrder)), model: model, span: 80, sizeLimit: 1200)
    var file = FaultyFile(bytes)
    for _ in 0..<4 {
      let image = try open(file, shape)
      for _ in 0..<120 {
        let isDone = use.step(image)
        #expect(isDone)
      }
      #expect(try content(image) == use.model.now)
      #expect(image.damage == nil)
      image.finish()
      let report = try Qcow2Image.check(file: FaultyFile(file.content), path: "test", repair: .nothing)
      #expect(report.isClean, "\(report)")
      file = FaultyFile(file.content)
    }
    if QemuImg.isInstalled, !shape.isBacked {
      let folder = try Folder()
      try makeFile(folder["image"], file.content)
      #expect(try QemuImg.check(folder["image"]) == nil)
      #expect(ModelDisk.stamps(try QemuImg.content(folder["image"], in: folder.path)) == use.model.now)
    }
  }

  /// The user is killed between two operations on the file; where power is lost as well, what was not synchronized survives or not.
  @Test(arguments: shapes, [false, true]) func whatWasFlushedSurvives(_ shape: Shape, losesPower: Bool) throws {
    let (bytes, model) = try Qcow2RandomTests.make(shape)
    var use = RandomUse(
      dice: Dice(UInt64(shape.clusterBits * 20 + shape.refcountOrder + (losesPower ? 1000 : 0))), model: model, span: 60, sizeLimit: 0)
    var content = bytes
    for round in 0..<16 {
      let file = FaultyFile(content, operationsLeft: use.dice.below(120))
      if let image = try? open(file, shape) {
        while use.step(image) {}
        #expect(image.damage == nil, "round \(round)")
      }
      var dice = use.dice
      content = losesPower ? file.afterPowerLoss { dice.below($0) } : file.content
      use.dice = dice
      let report = try Qcow2Image.check(file: FaultyFile(content), path: "test", repair: .nothing)
      #expect(report.corruptions == 0, "round \(round): \(report)")
      if round % 8 == 7 { try checkWithQemu(content) }
      let repaired = FaultyFile(content)
      let image = try open(repaired, shape)
      let found = try self.content(image)
      let wrong = use.model.crashed(found: found)
      #expect(wrong == nil, "round \(round): sector \(wrong ?? 0) has \(found[wrong ?? 0])")
      #expect(image.flush() == 0)
      image.finish()
      // What was lost is found again at the next opening.
      let after = try Qcow2Image.check(file: FaultyFile(repaired.content), path: "test", repair: .nothing)
      #expect(after.isClean, "round \(round): \(after)")
      content = repaired.content
    }
  }

  private func checkWithQemu(_ content: [UInt8]) throws {
    guard QemuImg.isInstalled else { return }
    let folder = try Folder()
    try makeFile(folder["image"], content)
    try makeFile(folder["base"], [UInt8](repeating: 0, count: 700 * 512))
    #expect(try QemuImg.isSound(folder["image"]))
  }
}
