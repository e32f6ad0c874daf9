import CLinux
import DiskImage
import DiskImageTesting
import Glibc
import Platform
import Testing

/// Which files an image may consist of, and how they come to another process.
@Suite(.enabled(if: QemuImg.isInstalled)) struct ImageFilesTests {
  private func options(_ format: ImageFormat? = .qcow2, backing: Bool = true) -> ImageFiles.Options {
    var options = ImageFiles.Options()
    options.format = format
    options.allowsBacking = backing
    return options
  }

  private func failure(_ path: String, _ options: ImageFiles.Options) -> DiskError? {
    do {
      _ = try ImageFiles.open(path: path, options: options)
      return nil
    } catch { return error }
  }

  /// An image with a backing name, whatever it leads to.
  private func image(_ path: String, backing: String, format: String? = "raw") throws {
    var made = Qcow2Image.Format()
    made.backing = (backing, format ?? "raw")
    try Qcow2Image.create(path: path, size: 1 << 20, format: made)
    guard format == nil else { return }
    // The extension's type is another one then, which means nothing.
    let file = try OwnedDescriptor.open(path, flags: O_RDWR)
    let type: [UInt8] = [0x11, 0x22, 0x33, 0x44]
    #expect(unsafe type.withUnsafeBytes { unsafe pwrite(file.number, $0.baseAddress, 4, 112) } == 4)
  }

  @Test func aChainOfTenIsReadAndOfElevenRefused() throws {
    let folder = try Folder()
    try QemuImg.shell("qemu-img create -q -f raw \(folder["f0"]) 1M")
    try QemuImg.io(folder["f0"], ["write -P 10 0 1M"], format: "raw")
    for level in 1...11 {
      let format = level == 1 ? "raw" : "qcow2"
      try QemuImg.create(folder["f\(level)"], 1 << 20, arguments: "-b f\(level - 1) -F \(format)")
      try QemuImg.io(folder["f\(level)"], ["write -P \(10 + level) \(level * 64)k 32k"])
    }
    let image = try openQcow2(folder["f10"], backing: true)
    let expected = try QemuImg.content(folder["f10"], in: folder.path)
    #expect(try image.bytes(0, 1 << 20) == expected)
    #expect(failure(folder["f11"], options()) == .backing(folder["f1"], .depth(10)))
  }

  @Test(arguments: [
    ("/etc/hostname", BackingProblem.absolute("/etc/hostname")), ("../up", .outside("../up")), ("a/../../up", .outside("a/../../up")),
    ("json:{\"driver\":\"file\"}", .protocolName("json:{\"driver\":\"file\"}")), ("nbd://host/x", .protocolName("nbd://host/x")),
    ("file:base", .protocolName("file:base")), ("missing", .missing("missing")), ("link", .outside("link")),
    ("folder-link/hostname", .outside("folder-link/hostname")), ("image", .cycle("image")), ("./image", .cycle("./image")),
  ]) func aNameThatLeavesTheFolderIsRefused(_ name: String, _ problem: BackingProblem) throws {
    let folder = try Folder()
    try QemuImg.shell("ln -s /etc/hostname \(folder["link"]); ln -s /etc \(folder["folder-link"])")
    try image(folder["image"], backing: name, format: name.hasSuffix("image") ? "qcow2" : "raw")
    #expect(failure(folder["image"], options()) == .backing(folder["image"], problem))
  }

  @Test func aSymbolicLinkWithinTheFolderIsFollowed() throws {
    let folder = try Folder()
    try QemuImg.shell("mkdir \(folder["sub"]); truncate -s 1M \(folder["sub/base"]); ln -s sub/base \(folder["link"])")
    try image(folder["image"], backing: "link")
    #expect(try openQcow2(folder["image"], backing: true).backing?.size == 1 << 20)
  }

  @Test func aLongerCycleIsFound() throws {
    let folder = try Folder()
    try image(folder["a"], backing: "b", format: "qcow2")
    try image(folder["b"], backing: "a", format: "qcow2")
    #expect(failure(folder["a"], options()) == .backing(folder["b"], .cycle("a")))
  }

  @Test func aBackingFileNeedsAFormatThatIsKnown() throws {
    let folder = try Folder()
    try QemuImg.shell("truncate -s 1M \(folder["base"])")
    try image(folder["none"], backing: "base", format: nil)
    #expect(failure(folder["none"], options()) == .backing(folder["none"], .noFormat("base")))
    try image(folder["vmdk"], backing: "base", format: "vmdk")
    #expect(failure(folder["vmdk"], options()) == .backing(folder["vmdk"], .format("base", "vmdk")))
    // A raw file that is called qcow2.
    try image(folder["lie"], backing: "base", format: "qcow2")
    #expect(failure(folder["lie"], options()) == .qcow2(folder["lie"], .noMagic))
  }

  @Test func aGuestThatWritesAHeaderIntoItsRawDiskGainsNothing() throws {
    let folder = try Folder()
    try image(folder["disk"], backing: "secret")
    try QemuImg.shell("truncate -s 1M \(folder["secret"])")
    let refused = DiskError.backing(folder["disk"], .notAllowed("secret"))
    #expect(failure(folder["disk"], options(nil, backing: false)) == refused)
    #expect(failure(folder["disk"], options(nil, backing: true)) == refused)
    #expect(failure(folder["disk"], options(.qcow2, backing: false)) == refused)
    #expect("\(refused)".contains("give format=qcow2,backing=on"))
    let raw = try ImageFiles.open(path: folder["disk"], options: options(.raw, backing: false)).assemble()
    #expect(raw is RawImage && raw.size % 512 == 0)
  }

  @Test func formatsAreFoundByTheirMagic() throws {
    let folder = try Folder()
    try makeFile(folder["sparse"], AndroidSparseFile([.fill([1, 2, 3, 4], blocks: 2)]).bytes)
    try makeFile(folder["composite"], CompositeFile([.init("raw", offset: 0)], length: 512).bytes)
    try makeFile(folder["raw"], [UInt8](repeating: 0, count: 512))
    try QemuImg.create(folder["qcow2"], 1 << 20)
    #expect(failure(folder["sparse"], options(nil)) == .unsound(folder["sparse"], "\(AndroidSparseError.writable)"))
    // Other files are opened only where the user says what the file is.
    #expect(failure(folder["composite"], options(nil)) == .unnamedComposite(folder["composite"]))
    #expect(try ImageFiles.open(path: folder["composite"], options: options(.composite)).format == .composite)
    #expect(try ImageFiles.open(path: folder["raw"], options: options(nil)).format == .raw)
    #expect(try ImageFiles.open(path: folder["qcow2"], options: options(nil)).format == .qcow2)
  }

  /// What another process makes of the files: it gets copies of the descriptors.
  private func handedOver(_ files: ImageFiles) throws -> any SynchronousDisk {
    var writer = ByteWriter()
    files.encode(to: &writer)
    for length in 0..<writer.bytes.count {
      var short = ByteReader(Array(writer.bytes.prefix(length)))
      #expect(throws: MalformedBytes.self) { try ImageFiles(from: &short) { throw MalformedBytes("no descriptor") } }
    }
    var rest = try files.descriptors.map { DescriptorBox(try OwnedDescriptor.duplicate($0)) }[...]
    var reader = ByteReader(writer.bytes)
    let copy = try ImageFiles(from: &reader) {
      guard let next = rest.popFirst()?.take() else { throw MalformedBytes("a descriptor is missing") }
      return next
    }
    try reader.finish()
    #expect(rest.isEmpty)
    return try #require(try copy.assemble() as? any SynchronousDisk)
  }

  @Test func aCompositeDiskIsMadeOfItsFiles() throws {
    let folder = try Folder()
    try makeFile(folder["head"], [UInt8](repeating: 1, count: 1024))
    try QemuImg.create(folder["body"], 1 << 20)
    try QemuImg.io(folder["body"], ["write -P 2 0 1M"])
    try makeFile(folder["tail"], AndroidSparseFile([.fill([3, 3, 3, 3], blocks: 1)]).bytes)
    let end: UInt64 = 1024 + (1 << 20)
    let parts: [CompositeFile.Part] = [
      .init("head", offset: 0), .init("body", offset: 1024, capability: 1), .init("tail", offset: end),
    ]
    try makeFile(folder["disk"], CompositeFile(parts, length: end + 4096).bytes)
    let disk = try handedOver(try ImageFiles.open(path: folder["disk"], options: options(.composite)))
    #expect(try disk.bytes(0, 1024).allSatisfy { $0 == 1 } && disk.bytes(1024, 1 << 20).allSatisfy { $0 == 2 })
    #expect(try disk.bytes(Int(end), 4096).allSatisfy { $0 == 3 })
    try disk.store([UInt8](repeating: 9, count: 512), at: 2048)
    #expect(throws: SystemError.self) { try disk.store([UInt8](repeating: 9, count: 512), at: 0) }
    disk.finish()
    // Its lock is the machine's as long as the disk is there.
    try QemuImg.shell("cp \(folder["body"]) \(folder["copy"])")
    #expect(try QemuImg.content(folder["copy"], in: folder.path)[1024] == 9)
    #expect(try QemuImg.check(folder["copy"]) == nil)
  }

  /// A process that ends forgets what is only in its memory: the tables of a part as well.
  @Test func aCompositeDiskThatIsFinishedHasAllInItsFiles() throws {
    let folder = try Folder()
    try QemuImg.create(folder["part"], 1 << 20)
    try makeFile(folder["disk"], CompositeFile([.init("part", offset: 0, capability: 1)], length: 1 << 20).bytes)
    let disk = try handedOver(try ImageFiles.open(path: folder["disk"], options: options(.composite)))
    try disk.store([UInt8](repeating: 9, count: 4096), at: 8192)
    disk.finish()
    try QemuImg.shell("cp \(folder["part"]) \(folder["copy"])")
    withExtendedLifetime(disk) {}
    #expect(try ImageFacts(path: folder["copy"]).header?.isDirty == false)
    #expect(try QemuImg.content(folder["copy"], in: folder.path)[8192..<12288].allSatisfy { $0 == 9 })
  }

  @Test(arguments: ["/etc/hostname", "../up", "link", "missing", "disk"]) func aPartThatIsNoFileOfTheFolderIsRefused(name: String) throws {
    let folder = try Folder()
    try QemuImg.shell("ln -s /etc/hostname \(folder["link"])")
    try makeFile(folder["disk"], CompositeFile([.init(name, offset: 0)], length: 512).bytes)
    let error = try #require(failure(folder["disk"], options(.composite)))
    #expect("\(error)".contains(name), "\(error)")
  }

  @Test(arguments: [ImageFormat.raw, .qcow2]) func anEphemeralDiskForgets(format: ImageFormat) throws {
    let folder = try Folder()
    try QemuImg.shell("qemu-img create -q -f \(format.rawValue) \(folder["disk"]) 1M")
    try QemuImg.io(folder["disk"], ["write -P 5 0 1M"], format: format.rawValue)
    let before = try fileContent(folder["disk"])
    var options = options(format, backing: false)
    options.isEphemeral = true
    // Two may have it at a time, for both only read it.
    let files = [try ImageFiles.open(path: folder["disk"], options: options), try ImageFiles.open(path: folder["disk"], options: options)]
    let disk = try handedOver(files[0])
    try disk.store([UInt8](repeating: 7, count: 4096), at: 512)
    #expect(try disk.bytes(0, 512) == [UInt8](repeating: 5, count: 512) && disk.bytes(512, 4096) == [UInt8](repeating: 7, count: 4096))
    try disk.resize(to: 2 << 20)
    #expect(try disk.bytes(1 << 20, 512) == [UInt8](repeating: 0, count: 512))
    #expect(disk.flush() == 0 && !disk.isReadOnly)
    disk.finish()
    #expect(try fileContent(folder["disk"]) == before)
    #expect(try handedOver(files[1]).bytes(512, 512) == [UInt8](repeating: 5, count: 512))
  }

  @Test(arguments: [false, true]) func filesGoToAnotherProcess(direct: Bool) throws {
    let folder = try Folder()
    try QemuImg.shell("qemu-img create -q -f raw \(folder["base"]) 1M")
    try QemuImg.io(folder["base"], ["write -P 3 0 1M"], format: "raw")
    try QemuImg.create(folder["image"], 2 << 20, arguments: "-b base -F raw")
    try QemuImg.io(folder["image"], ["write -P 4 100k 100k"])
    var options = options()
    options.isDirect = direct
    let expected = try QemuImg.content(folder["image"], in: folder.path)
    let files = try ImageFiles.open(path: folder["image"], options: options)
    #expect(files.descriptors.count == (direct ? 3 : 2))
    var writer = ByteWriter()
    files.encode(to: &writer)
    var copies = try files.descriptors.map { DescriptorBox(try OwnedDescriptor.duplicate($0)) }[...]
    var reader = ByteReader(writer.bytes)
    let arrived = try ImageFiles(from: &reader) {
      guard let descriptor = copies.popFirst()?.take() else { throw MalformedBytes("a descriptor is missing") }
      return descriptor
    }
    try reader.finish()
    let image = try #require(try arrived.assemble() as? Qcow2Image)
    #expect(try image.bytes(0, 2 << 20) == expected)
    var cut = ByteReader(Array(writer.bytes.dropLast()))
    #expect(throws: (any Error).self) { _ = try ImageFiles(from: &cut) { try OwnedDescriptor.open("/dev/null", flags: O_RDONLY) } }
  }

  /// The memory of all tables that a chain may have is that of one image, wherever in the chain they are.
  @Test(arguments: [1 << 20, 7 << 20, 64 << 20] as [UInt64]) func aChainSharesItsMemory(bytes: UInt64) throws {
    let folder = try Folder()
    // Large enough that no cache is larger than what its tables can need.
    try QemuImg.create(folder["f0"], 1 << 40)
    for level in 1...10 { try QemuImg.create(folder["f\(level)"], 1 << 40, arguments: "-b f\(level - 1) -F qcow2") }
    for last in 0...10 {
      for isEphemeral in [false, true] {
        var options = options()
        options.cacheSize = bytes
        // A program that another test starts has a copy of a lock for a moment.
        options.isLocked = false
        options.isEphemeral = isEphemeral
        var image = try ImageFiles.open(path: folder["f\(last)"], options: options).assemble() as? Qcow2Image
        var (sum, count) = (0, 0)
        while let one = image {
          sum += one.tableMemory
          count += 1
          image = one.backing as? Qcow2Image
        }
        #expect(count == last + (isEphemeral ? 2 : 1))
        // Each has at least two sets of eight pieces, and tables that are not cached: one cluster and a few entries.
        #expect(sum <= max(Int(bytes), count * 65536 + Int(bytes) * 3 / 4) + count * 120_000, "\(count) images have \(sum)")
        #expect(sum >= Int(bytes) * 9 / 10 - count * 65536, "\(count) images have \(sum)")
      }
    }
  }

  /// Room for tables that there cannot be is not reserved.
  @Test(arguments: [(20 << 20, 7 << 20), (1 << 40, 450 << 20), (64 << 40, 1 << 30)] as [(UInt64, Int)])
  func aCacheIsNoLargerThanItCanBeOfUse(size: UInt64, limit: Int) throws {
    let folder = try Folder()
    try Qcow2Image.create(path: folder["a"], size: size)
    var options = options()
    options.cacheSize = 1 << 30
    let image = try #require(try ImageFiles.open(path: folder["a"], options: options).assemble() as? Qcow2Image)
    // Beside the tables that are not cached.
    let held = Int(size >> 29) * 10 + 90_000
    #expect(image.tableMemory <= limit + held, "\(image.tableMemory)")
    // All tables of the second level, of 8 bytes for each cluster, or as many as may be.
    #expect(image.tableMemory >= min(Int(size >> 16) * 8, (1 << 30) / 7 * 6))
  }

  /// QEMU's users and ours see each other's locks, whichever kind they are.
  @Test func locksAreThoseOfQEMU() throws {
    let folder = try Folder()
    try QemuImg.create(folder["a"], 1 << 20)
    var options = options()
    for isReadOnly in [true, false] {
      options.isReadOnly = isReadOnly
      let files = try ImageFiles.open(path: folder["a"], options: options)
      let reading = try QemuImg.shell("qemu-img info \(folder["a"])", expecting: isReadOnly ? 0 : 1)
      #expect(isReadOnly || reading.contains("lock"), "\(reading)")
      let writing = try QemuImg.shell("qemu-io -f qcow2 -c \"write 0 512\" \(folder["a"])", expecting: 1)
      #expect(writing.contains("lock"), "\(writing)")
      // A second reader of ours is welcome where the first only reads.
      var second = options
      second.isReadOnly = true
      if isReadOnly {
        _ = try ImageFiles.open(path: folder["a"], options: second)
      } else {
        #expect(throws: DiskError.inUse(folder["a"], writing: false)) { _ = try ImageFiles.open(path: folder["a"], options: second) }
      }
      second.isReadOnly = false
      #expect(throws: DiskError.inUse(folder["a"], writing: true)) { _ = try ImageFiles.open(path: folder["a"], options: second) }
      withExtendedLifetime(files) {}
    }
    try QemuImg.io(folder["a"], ["write 0 512"])
  }

  /// Tables that are not cached: each image's are possible, but together they are too large.
  @Test func manyImagesWithLargeTablesAreRefused() throws {
    let folder = try Folder()
    for level in 0..<5 {
      var format = Qcow2Image.Format()
      format.clusterBits = 9
      if level > 0 { format.backing = ("f\(level - 1)", "qcow2") }
      try Qcow2Image.create(path: folder["f\(level)"], size: 64 << 30, format: format)
    }
    var format = Qcow2Image.Format()
    format.clusterBits = 9
    for index in 0..<5 { try Qcow2Image.create(path: folder["p\(index)"], size: 64 << 30, format: format) }
    let parts = (0..<5).map { CompositeFile.Part("p\($0)", offset: UInt64($0) * 512) }
    try makeFile(folder["composite"], CompositeFile(parts, length: 5 * 512).bytes)
    var (chain, composite) = (options(), options(.composite, backing: false))
    (chain.isReadOnly, composite.isReadOnly) = (true, true)
    (chain.isLocked, composite.isLocked) = (false, false)
    #expect(try ImageFiles.open(path: folder["f1"], options: chain).assemble().size == 64 << 30)
    for (name, options) in [("f4", chain), ("composite", composite)] {
      let files = try ImageFiles.open(path: folder[name], options: options)
      let error = #expect(throws: DiskError.self) { _ = try files.assemble() }
      #expect("\(try #require(error))".contains("must be in memory"))
    }
  }

  @Test func aWriterExcludesEverybodyFromAllFiles() throws {
    let folder = try Folder()
    try QemuImg.shell("truncate -s 1M \(folder["base"])")
    try image(folder["image"], backing: "base")
    let first = try ImageFiles.open(path: folder["image"], options: options())
    #expect(failure(folder["image"], options()) == .inUse(folder["image"], writing: true))
    #expect(failure(folder["base"], options(.raw, backing: false)) == .inUse(folder["base"], writing: true))
    // Others may read what is only read.
    try image(folder["other"], backing: "base")
    #expect(failure(folder["other"], options()) == nil)
    _ = first
  }
}
