import DiskImage
import DiskImageTesting
import Platform
import Testing

/// Random operations against a model on the images that are not qcow2; see `Qcow2RandomTests`.
@Suite struct ModelTests {
  /// How an image is used.
  enum Kind: CaseIterable {
    case raw, direct, composite
  }

  private static let sectors = 600

  private let folder: Folder

  init() throws { folder = try Folder() }

  private func options(_ kind: Kind) -> ImageFiles.Options {
    var options = ImageFiles.Options()
    options.format = kind == .composite ? .composite : .raw
    options.isDirect = kind == .direct
    options.isLocked = false
    return options
  }

  /// A composite disk of three writable files that meet in the middle of pages.
  private func make(_ kind: Kind) throws -> String {
    let bytes = ModelTests.sectors * ModelDisk.sector
    guard kind == .composite else {
      try makeFile(folder["disk"], [UInt8](repeating: 0, count: bytes))
      return folder["disk"]
    }
    let starts = [0, 7 * 512, 300 * 512, bytes]
    var parts: [CompositeFile.Part] = []
    for (index, start) in starts.dropLast().enumerated() {
      try makeFile(folder["part\(index)"], [UInt8](repeating: 0, count: starts[index + 1] - start))
      parts.append(CompositeFile.Part("part\(index)", offset: UInt64(start), capability: 1))
    }
    try makeFile(folder["disk"], CompositeFile(parts, length: UInt64(bytes)).bytes)
    return folder["disk"]
  }

  private func open(_ path: String, _ kind: Kind) throws -> any SynchronousDisk {
    try #require(try ImageFiles.open(path: path, options: options(kind)).assemble() as? any SynchronousDisk)
  }

  @Test(arguments: Kind.allCases) func whatIsReadIsWhatTheModelHas(_ kind: Kind) throws {
    let path = try make(kind)
    var use = RandomUse(
      dice: Dice(UInt64(Kind.allCases.firstIndex(of: kind) ?? 0) + 5), model: ModelDisk(sectors: ModelTests.sectors), span: 80,
      sizeLimit: kind == .raw ? 1200 : 0)
    for _ in 0..<4 {
      let disk = try open(path, kind)
      for _ in 0..<500 {
        let isDone = use.step(disk)
        #expect(isDone)
      }
      #expect(disk.flush() == 0)
      disk.finish()
      let again = try open(path, kind)
      #expect(ModelDisk.stamps(try again.bytes(0, Int(again.size))) == use.model.now)
    }
  }
}
