import CLinux
import DiskImage
import Glibc
import Platform
import QcowUtils
import Testing

/// Images of one format made of another.
@Suite(.enabled(if: QemuImg.isInstalled)) struct ConversionTests {
  private func convert(_ source: String, _ target: String, _ format: ImageConversion.Target, backing: Bool = false) throws {
    var options = ImageFiles.Options()
    options.isReadOnly = true
    options.format = backing ? .qcow2 : nil
    options.allowsBacking = backing
    try ImageConversion.convert(try ImageFiles.open(path: source, options: options), to: target, as: format)
  }

  /// A raw file with holes, zeroes that are written, and data that begins and ends anywhere.
  private func makeSource(_ path: String) throws {
    try QemuImg.shell("qemu-img create -q -f raw \(path) 9M")
    try QemuImg.io(
      path, ["write -P 1 512 70k", "write -z 2M 1M", "write -P 2 5000k 1M", "write -P 0 3M 64k", "write -P 3 9436672 512"], format: "raw")
  }

  @Test func rawBecomesQcow2AndRawAgain() throws {
    let folder = try Folder()
    try makeSource(folder["a"])
    try convert(folder["a"], folder["b"], .qcow2(Qcow2Image.Format()))
    #expect(try QemuImg.check(folder["b"]) == nil)
    #expect(try QemuImg.content(folder["b"], in: folder.path) == fileContent(folder["a"]))
    try convert(folder["b"], folder["c"], .raw)
    #expect(try fileContent(folder["c"]) == fileContent(folder["a"]))
    // Zeroes take no room, though they were written.
    var status = stat()
    unsafe #expect(stat(folder["c"], &status) == 0 && status.st_blocks * 512 < 2 << 20)
  }

  @Test(arguments: [9, 12, 21]) func anyClusterSize(bits: Int) throws {
    let folder = try Folder()
    try makeSource(folder["a"])
    var format = Qcow2Image.Format()
    format.clusterBits = bits
    try convert(folder["a"], folder["b"], .qcow2(format))
    #expect(try QemuImg.check(folder["b"]) == nil)
    #expect(try QemuImg.content(folder["b"], in: folder.path) == fileContent(folder["a"]))
  }

  /// Several threads work on it, and yet each image has its bytes at the same place, in the order of the disk.
  @Test func theSameDiskBecomesTheSameFile() throws {
    let folder = try Folder()
    try QemuImg.shell("qemu-img create -q -f raw \(folder["a"]) 40M")
    try QemuImg.io(folder["a"], (0..<40).map { "write -P \($0 + 1) \($0)M \($0 % 3 == 0 ? "1M" : "700k")" }, format: "raw")
    try convert(folder["a"], folder["first"], .qcow2(Qcow2Image.Format()))
    let first = try fileContent(folder["first"])
    for number in 0..<10 {
      try convert(folder["a"], folder["\(number)"], .qcow2(Qcow2Image.Format()))
      #expect(try fileContent(folder["\(number)"]) == first)
    }
  }

  @Test func aBackingFileBecomesPartOfIt() throws {
    let folder = try Folder()
    try makeSource(folder["base"])
    try QemuImg.create(folder["a"], 9 << 20, arguments: "-b base -F raw")
    try QemuImg.io(folder["a"], ["write -P 7 1M 100k"])
    let expected = try QemuImg.content(folder["a"], in: folder.path)
    try convert(folder["a"], folder["b"], .raw, backing: true)
    #expect(try fileContent(folder["b"]) == expected)
  }

  @Test func whatIsThereStaysAndWhatFailsLeavesNothing() throws {
    let folder = try Folder()
    try makeSource(folder["a"])
    try makeFile(folder["there"], [1])
    #expect(throws: DiskError.exists(folder["there"])) { try convert(folder["a"], folder["there"], .raw) }
    #expect(throws: DiskError.self) { try convert(folder["a"], folder["no/such"], .raw) }
    // A source with an entry of its first table that is not aligned.
    try QemuImg.create(folder["bad"], 9 << 20)
    try QemuImg.io(folder["bad"], ["write -P 1 0 64k"])
    let l1 = Int(try #require(try Qcow2Tables(path: folder["bad"]).fields.first { $0.name == "l1_table_offset" }).value)
    let file = try OwnedDescriptor.open(folder["bad"], flags: O_RDWR)
    let wrong: [UInt8] = [0x02, 0]
    #expect(unsafe wrong.withUnsafeBytes { unsafe pwrite(file.number, $0.baseAddress, 2, l1 + 6) } == 2)
    #expect(throws: DiskError.self) { try convert(folder["bad"], folder["c"], .raw) }
    unsafe #expect(access(folder["c"], F_OK) != 0)
  }

  /// Where the file system has no files without a name.
  @Test func aNewFileHasItsNameOnlyWhenItIsComplete() throws {
    let folder = try Folder()
    let path = folder["new"]
    do {
      let file = try NewFile(path: path, mayBeNameless: false)
      #expect(!exists(path))
      #expect(ftruncate(file.number, 1) == 0)
      try file.keep()
    }
    #expect(exists(path) && !exists("\(path).\(getpid()).part"))
    #expect(throws: DiskError.exists(path)) { _ = try NewFile(path: path, mayBeNameless: false) }
    let other = folder["other"]
    do {
      let file = try NewFile(path: other, mayBeNameless: false)
      try makeFile(other, [1])
      do throws(DiskError) {
        try file.keep()
        Issue.record("it took another file's name")
      } catch { #expect(error == .exists(other)) }
    }
    #expect(!exists("\(other).\(getpid()).part"))
  }

  private func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  @Test func theEndOfANameTellsTheFormat() {
    for name in ["a.raw", "x/b.IMG"] { #expect(ImageConversion.Target(path: name) == .raw) }
    for name in ["a.qcow2", "/tmp/a.b.qcow"] { #expect(ImageConversion.Target(path: name) == .qcow2(Qcow2Image.Format())) }
    for name in ["raw", "a.vmdk", "a.raw/b", "", "."] { #expect(ImageConversion.Target(path: name) == nil) }
  }

  /// The four functions of qcow_utils.h.
  @Test func programsInCConvert() throws {
    let folder = try Folder()
    unsafe #expect(createQcow(path: folder["a"], virtualSize: 1 << 20) == 0)
    unsafe #expect(createQcow(path: folder["a"], virtualSize: 1 << 20) == -EEXIST)
    #expect(createQcow(path: nil, virtualSize: 1 << 20) == -EINVAL)
    try QemuImg.io(folder["a"], ["write -P 5 64k 64k"])
    unsafe #expect(expandDiskImage(path: folder["a"], virtualSize: 2 << 20) == 0)
    unsafe #expect(expandDiskImage(path: folder["a"], virtualSize: 1 << 20) == -EINVAL)
    unsafe #expect(expandDiskImage(path: folder["none"], virtualSize: 1 << 20) == -ENOENT)
    let expected = try QemuImg.content(folder["a"], in: folder.path)
    #expect(expected.count == 2 << 20)
    let source = try OwnedDescriptor.open(folder["a"], flags: O_RDONLY)
    let raw = try makeFileToFill(folder["raw"])
    #expect(convertToRaw(source: source.number, target: raw.number) == 0)
    #expect(try fileContent(folder["raw"]) == expected)
    let again = try makeFileToFill(folder["again"])
    #expect(convertToQcow2(source: raw.number, target: again.number) == 0)
    #expect(try QemuImg.check(folder["again"]) == nil && QemuImg.content(folder["again"], in: folder.path) == expected)
    #expect(convertToRaw(source: -1, target: raw.number) < 0)
  }

  private func makeFileToFill(_ path: String) throws -> OwnedDescriptor {
    try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
  }

  @Test func theTablesAreShown() throws {
    let folder = try Folder()
    try QemuImg.create(folder["a"], 1 << 30, "cluster_size=65536,refcount_bits=1")
    try QemuImg.io(folder["a"], ["write -P 5 0 128k"])
    let tables = try Qcow2Tables(path: folder["a"])
    #expect(tables.fields.first { $0.name == "size" }?.value == 1 << 30)
    let l1 = try tables.l1()
    #expect(l1.count == 2 && l1[0] >> 63 == 1 && l1[1] == 0)
    #expect(try tables.l2(0).prefix(3).map { $0 >> 63 } == [1, 1, 0])
    #expect(try tables.l2(1).isEmpty)
    // Header, refcount table, a block, the L1 and an L2 table, and two clusters.
    #expect(try tables.refcountTable().filter { $0 != 0 }.count == 1)
    #expect(try tables.refcountBlock(0).prefix(8) == [1, 1, 1, 1, 1, 1, 1, 0])
    #expect(throws: DiskError.self) { try tables.l2(2) }
  }
}
