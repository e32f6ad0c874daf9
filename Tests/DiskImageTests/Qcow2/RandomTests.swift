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
    /// So many sectors are written before it begins. More than 4096 clusters of 512 bytes need a larger table of refcount blocks, where
    /// each refcount has eight bytes.
    var filled = 0
    var sectors: Int { filled == 0 ? 600 : filled + 600 }
    var testDescription: String { "bits \(clusterBits) order \(refcountOrder) version \(version) \(isBacked ? "backed" : "")" }
  }

  static let shapes: [Shape] =
    [
      Shape(clusterBits: 9), Shape(clusterBits: 9, cacheSize: 4096), Shape(clusterBits: 12), Shape(clusterBits: 16), Shape(clusterBits: 21),
      Shape(clusterBits: 9, version: 2), Shape(clusterBits: 12, version: 2, isBacked: true), Shape(clusterBits: 9, isBacked: true),
      Shape(clusterBits: 10, isBacked: true, cacheSize: 4096), Shape(clusterBits: 13, isBacked: true),
      Shape(clusterBits: 16, isBacked: true),
    ] + (0...6).map { Shape(clusterBits: 9 + $0 % 2, refcountOrder: $0) }

  /// An empty image in memory, and what it is backed by.
  private static func make(_ shape: Shape) throws -> (content: [UInt8], model: ModelDisk) {
    let file = FaultyFile()
    var format = Qcow2Image.Format()
    format.clusterBits = shape.clusterBits
    format.refcountOrder = shape.refcountOrder
    format.version = shape.version
    if shape.isBacked { format.backing = ("base", "raw") }
    try Qcow2Image.create(file: file, path: "test", size: UInt64(shape.sectors * 512), format: format)
    var model = ModelDisk(sectors: shape.sectors) { shape.isBacked && $0 < 700 ? UInt32(0x80_0000 + $0) : 0 }
    guard shape.filled > 0 else { return (file.content, model) }
    let filled = FaultyFile(file.content)
    let image = try Qcow2RandomTests.open(filled, shape)
    try image.store(model.write(0..<shape.filled), at: 0)
    image.finish()
    model.flush()
    return (filled.content, model)
  }

  /// A disk of stamps, longer than the image is at first.
  private final class Base: SynchronousDisk {
    let size: UInt64 = 700 * 512
    let isReadOnly = true
    let alignment: Int
    let discards = false

    init(alignment: Int = 512) { self.alignment = alignment }

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

  private static func open(_ file: FaultyFile, _ shape: Shape) throws -> Qcow2Image {
    var options = Qcow2Image.Options()
    options.cacheSize = shape.cacheSize
    return try Qcow2Image(file: file, path: "test", backing: shape.isBacked ? Qcow2RandomTests.base : nil, options: options)
  }

  private func content(_ image: Qcow2Image) throws -> [UInt32] { try #require(ModelDisk.stamps(try image.bytes(0, Int(image.size)))) }

  /// One that bypasses the page cache, behind an ephemeral disk's overlay.
  @Test func anOverlayTakesWhatTheDiskBehindItTakes() throws {
    let shape = Shape(clusterBits: 12, isBacked: true)
    for alignment in [512, 4096] {
      let file = FaultyFile(try Qcow2RandomTests.make(shape).content)
      #expect(try Qcow2Image(file: file, path: "overlay", backing: Base(alignment: alignment)).alignment == alignment)
    }
  }

  /// A block device: it has its length from the start, and what was there before.
  @Test(arguments: [Shape(clusterBits: 9), Shape(clusterBits: 9, refcountOrder: 6), Shape(clusterBits: 12), Shape(clusterBits: 16)])
  func aDeviceOfFixedLengthIsUsedToItsEnd(_ shape: Shape) throws {
    let (bytes, model) = try Qcow2RandomTests.make(shape)
    let device = bytes + [UInt8](repeating: 0xa5, count: (shape.clusterBits == 16 ? 4 << 20 : 1 << 20) - bytes.count)
    var use = RandomUse(dice: Dice(UInt64(shape.clusterBits)), model: model, span: 80, sizeLimit: 1200)
    var content = device
    for _ in 0..<3 {
      let file = FaultyFile(content, hasFixedLength: true)
      let image = try Qcow2RandomTests.open(file, shape)
      for _ in 0..<80 {
        let isDone = use.step(image)
        #expect(isDone)
      }
      #expect(try self.content(image) == use.model.now && image.damage == nil)
      image.finish()
      content = file.content
      #expect(content.count == device.count)
      let report = try Qcow2Image.check(file: FaultyFile(content, hasFixedLength: true), path: "test", repair: .nothing)
      #expect(report.isClean, "\(report)")
    }
    try aFullDeviceIsAnError(content, shape, use.model)
  }

  /// Writes until there is no room: what was there stays, and what fits is still written.
  private func aFullDeviceIsAnError(_ content: [UInt8], _ shape: Shape, _ model: ModelDisk) throws {
    let file = FaultyFile(content, hasFixedLength: true)
    let image = try Qcow2RandomTests.open(file, shape)
    try image.resize(to: 64 << 20)
    var offset = model.count * 512
    while (try? image.store([UInt8](repeating: 1, count: 512), at: offset)) != nil { offset += 64 << 10 }
    #expect(offset < 64 << 20 && image.damage == nil)
    try image.store([UInt8](repeating: 2, count: 512), at: offset - 64 << 10)
    #expect(try Array(self.content(image).prefix(model.count)) == model.now)
    image.finish()
    #expect(try Qcow2Image.check(file: FaultyFile(file.content, hasFixedLength: true), path: "test", repair: .nothing).isClean)
  }

  @Test(arguments: shapes) func whatIsReadIsWhatTheModelHas(_ shape: Shape) throws {
    let (bytes, model) = try Qcow2RandomTests.make(shape)
    var use = RandomUse(dice: Dice(UInt64(shape.clusterBits * 10 + shape.refcountOrder)), model: model, span: 80, sizeLimit: 1200)
    var file = FaultyFile(bytes)
    for _ in 0..<4 {
      let image = try Qcow2RandomTests.open(file, shape)
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
      dice: Dice(UInt64(shape.clusterBits * 20 + shape.refcountOrder + (losesPower ? 1000 : 0))), model: model, span: 60, sizeLimit: 1200)
    var content = bytes
    for round in 0..<16 {
      let file = FaultyFile(content, operationsLeft: use.dice.below(120))
      if let image = try? Qcow2RandomTests.open(file, shape) {
        while use.step(image) {}
        #expect(image.damage == nil, "round \(round)")
      }
      var dice = use.dice
      content = losesPower ? file.afterPowerLoss { dice.below($0) } : file.content
      use.dice = dice
      if round % 8 == 7 { try checkWithQemu(content) }
      content = try survivor(content, &use.model, shape, "round \(round)")
    }
  }

  /// Opens what a sudden end has left, and compares it with what may be there.
  ///
  /// - Returns: The file as it was closed then.
  private func survivor(_ content: [UInt8], _ model: inout ModelDisk, _ shape: Shape, _ moment: String) throws -> [UInt8] {
    let report = try Qcow2Image.check(file: FaultyFile(content), path: "test", repair: .nothing)
    #expect(report.corruptions == 0, "\(moment): \(report)")
    let repaired = FaultyFile(content)
    let image = try Qcow2RandomTests.open(repaired, shape)
    let found = try self.content(image)
    let wrong = model.crashed(found: found)
    #expect(wrong == nil, "\(moment): sector \(wrong ?? 0) has \(found.indices.contains(wrong ?? 0) ? found[wrong ?? 0] : 0)")
    #expect(image.flush() == 0)
    image.finish()
    // What was lost is found again at the next opening.
    let after = try Qcow2Image.check(file: FaultyFile(repaired.content), path: "test", repair: .nothing)
    #expect(after.isClean, "\(moment): \(after)")
    return repaired.content
  }

  /// The same at every moment of one use, in which the disk grows; and of one in which the table of refcount blocks moves.
  @Test(
    arguments: [
      Shape(clusterBits: 9), Shape(clusterBits: 9, isBacked: true), Shape(clusterBits: 12, version: 2),
      Shape(clusterBits: 9, refcountOrder: 6, cacheSize: 4096, filled: 3900),
    ], [false, true])
  func whatWasFlushedSurvivesEachMoment(_ shape: Shape, losesPower: Bool) throws {
    let (bytes, model) = try Qcow2RandomTests.make(shape)
    var moment = 0
    while true {
      var use = RandomUse(dice: Dice(UInt64(shape.clusterBits + 77)), model: model, span: 60, sizeLimit: model.count + 600)
      let file = FaultyFile(bytes, operationsLeft: moment)
      var steps = 0
      if let image = try? Qcow2RandomTests.open(file, shape) {
        var goesOn =
          shape.filled == 0 || (try? image.store(use.model.write(shape.filled..<shape.filled + 240), at: shape.filled * 512)) != nil
        while goesOn, steps < 40 {
          goesOn = use.step(image)
          steps += 1
        }
        #expect(image.damage == nil, "moment \(moment)")
      }
      var dice = Dice(UInt64(moment + 1))
      let left = losesPower ? file.afterPowerLoss { dice.below($0) } : file.content
      _ = try survivor(left, &use.model, shape, "moment \(moment)")
      if file.operations < moment { break }
      moment += 1
    }
    #expect(moment > 40)
  }

  private func checkWithQemu(_ content: [UInt8]) throws {
    guard QemuImg.isInstalled else { return }
    let folder = try Folder()
    try makeFile(folder["image"], content)
    try makeFile(folder["base"], [UInt8](repeating: 0, count: 700 * 512))
    #expect(try QemuImg.isSound(folder["image"]))
  }
}
