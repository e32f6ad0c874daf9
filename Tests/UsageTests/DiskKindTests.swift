import Glibc
import Testing

/// What commands say of images that they do not read, or not as what they look like.
@Suite(.enabled(if: Tool.hasImages, "needs qemu-utils and android-sdk-libsparse-utils"))
struct DiskKindTests {
  let workplace = Workplace()

  private func crosvm(_ words: String...) throws -> Ending { try Crosvm.run(words, in: workplace) }

  @Test(arguments: [
    ("VMDK", "KDMV", 0), ("VDI", "\u{7f}\u{10}", 64), ("VHDX", "vhdxfile", 0), ("VHD", "conectix", 0), ("VHD", "conectix", 8192 - 512),
    ("QED", "QED\0", 0), ("Parallels", "WithoutFreeSpace", 0),
  ]) func aForeignFormatIsNoRawDisk(name: String, signature: String, place: Int) throws {
    var image = Image(count: 8192)
    image.set(bytes: Array(signature.utf8) + (name == "VDI" ? [0xda, 0xbe] : []), at: place)
    workplace.write("a", image.bytes)
    for words in [["convert", "a", "b.qcow2"], ["map", "a"], ["resize", "a", "1M"]] {
      try Mistake(words: ["disk"] + words, parts: ["\"a\" looks like \(name),", "--source-format raw"]).expect(status: 1, in: workplace)
    }
    #expect(try crosvm("disk", "info", "a").output.contains("format: raw\nsize: 8192 bytes\n"))
    #expect(try crosvm("disk", "info", "a").output.contains("it looks like \(name),"))
    #expect(try crosvm("disk", "convert", "--source-format", "raw", "a", "b.raw").status == 0)
    #expect(workplace.read("b.raw") == image.bytes)
  }

  @Test(arguments: ["vmdk", "vdi", "vhdx", "vpc", "qed", "parallels"]) func whatQEMUMakesIsKnown(format: String) throws {
    try Tool.run("qemu-img", "create", "-q", "-f", format, "a", "16M", in: workplace)
    try Mistake("disk", "convert", "a", "b.raw", says: "looks like", "convert it with qemu-img").expect(status: 1, in: workplace)
  }

  @Test func theSizeIsThatOfTheDisk() throws {
    workplace.writeZeros("raw", count: 1 << 20)
    try Tool.run("img2simg", "raw", "sparse", in: workplace)
    // A version, a part "raw" from 0 on, and the length (crosvm's cdisk_spec.proto).
    let part: [UInt8] = [0x0a, 3] + Array("raw".utf8)
    workplace.write(
      "composite", Array("composite_disk\u{1d}".utf8) + [0x08, 2, 0x12, UInt8(part.count)] + part + [0x18, 0x80, 0x80, 0x40])
    for name in ["sparse", "composite"] {
      #expect(try crosvm("disk", "info", name).output.contains("size: 1048576 bytes\n"))
      #expect(try JSON.object(try crosvm("disk", "info", "--json", name).output)["virtual-size"] as? Int == 1 << 20)
    }
    unsafe #expect(unlink(workplace.path + "/raw") == 0)
    try Mistake("disk", "convert", "--source-format", "composite", "composite", "b.raw", says: "its part \"raw\" does not exist").expect(
      status: 1, in: workplace)
  }

  @Test func whatOnlyQEMUReadsIsDescribed() throws {
    try Tool.run(
      "qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o",
      "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", "locked", "1M", in: workplace)
    try Tool.run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=data", "outside", "1M", in: workplace)
    let locked = try crosvm("disk", "info", "locked")
    #expect(locked.status == 0 && locked.output.contains("size: 1048576 bytes\n") && locked.output.contains("it is encrypted (luks)"))
    let outside = try crosvm("disk", "info", "outside")
    #expect(outside.status == 0 && outside.output.contains("external data file, which is not supported: \"data\""), "\(outside)")
    #expect(try JSON.object(try crosvm("disk", "info", "--json", "locked").output)["encrypted"] as? Bool == true)
    for (name, reason) in [("locked", "it is encrypted"), ("outside", "external data file")] {
      for words in [["convert", name, "b.raw"], ["check", name], ["map", name], ["resize", name, "2M"]] {
        try Mistake(words: ["disk"] + words, parts: ["\"\(name)\" cannot be used: ", reason]).expect(status: 1, in: workplace)
      }
    }
  }

  /// A name of other bytes than the user's is another file's.
  @Test func namesThatAreNotUTF8AreRefused() throws {
    for command in ["create_qcow2 \"$1\" 1M", "disk convert raw \"$1\"", "disk info \"$1\"", "run --block \"$1\" kernel"] {
      workplace.writeZeros("raw", count: 4096)
      let before = workplace.names
      let script = "set -- \"$(printf 'nn\\376.qcow2')\"; exec \(Crosvm.executable) \(command)"
      let ending = try Crosvm(["-c", script], in: workplace, program: "sh").end()
      #expect(ending.status == 2 && ending.output.isEmpty && ending.errors.hasPrefix("crosvm: an argument is not UTF-8"), "\(ending)")
      #expect(workplace.names == before)
    }
    let script = "exec \(Crosvm.sibling("qcow_img")) header \"$(printf 'nn\\376')\""
    let ending = try Crosvm(["-c", script], in: workplace, program: "sh").end()
    #expect(ending.status == 2 && ending.errors.hasPrefix("qcow_img: an argument is not UTF-8"), "\(ending)")
  }

  @Test func aChainHasAnEnd() throws {
    workplace.writeZeros("0", count: 1 << 20)
    for number in 1...10 { #expect(try crosvm("create_qcow2", "\(number)", "--backing-file", "\(number - 1)").status == 0) }
    try Mistake("create_qcow2", "11", "--backing-file", "10", says: "more than 10 backing files").expect(status: 1, in: workplace)
    // What may be made can be used.
    #expect(try crosvm("disk", "convert", "--source-format", "qcow2", "--backing", "10", "b.raw").status == 0)
    // An image that names the new one: a loop.
    try Tool.run("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", "loop", "-F", "qcow2", "b", "1M", in: workplace)
    try Mistake("create_qcow2", "loop", "--backing-file", "b", says: "\"b\" cannot be used: its backing file \"loop\" does not exist")
      .expect(
        status: 1, in: workplace)
  }
}
