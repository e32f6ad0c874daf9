import Testing

/// Which lines are written.
struct LogLevelTests {
  let workplace = Workplace()

  init() {
    workplace.write("firmware", Firmware.resets)
    var image = [UInt8](repeating: 0, count: 8192)
    image.replaceSubrange(0..<4, with: "KDMV".utf8)
    workplace.write("a", image)
  }

  @Test(
    arguments: [
      ("warn", true), ("warn,block=off", false), ("warn,block0=off", false), ("warn,block1=off", true), ("off,block0=warn", true),
      ("off,block=info", true), ("off,crosvm=info,rng=info", false), ("error,block=warn,block0=error", false),
    ], [[], ["--disable-sandbox"]]
  )
  func aDeviceHasALevelOfItsOwn(_ expected: (levels: String, isWritten: Bool), _ options: [String]) throws {
    let words = ["--no-syslog", "--log-level", expected.levels, "run"] + options + ["--block", "a", "--bios", "firmware"]
    let lines = try Crosvm.run(words, in: workplace).errors.split(separator: "\n")
    let complaints = lines.filter { $0.contains("looks like VMDK") }
    #expect(complaints.count == (expected.isWritten ? 1 : 0), "\(lines)")
    for line in complaints { #expect(line.contains(" WARN] block0: the image \"a\" looks"), "\(line)") }
  }
}
