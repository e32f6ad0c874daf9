import Glibc
import Testing

/// What the command line alone shows to be wrong: status 2, and no virtual machine is made.
struct UsageErrorTests {
  let workplace = Workplace()

  init() {
    workplace.write("kernel", ELFFile().bytes)
    workplace.write("firmware", Firmware.resets)
    workplace.write("disk", [UInt8](repeating: 0, count: 4096))
    unsafe mkdir(workplace.path + "/directory", 0o755)
    unsafe mkfifo(workplace.path + "/fifo", 0o644)
  }

  @Test(arguments: [
    Mistake("rnu", says: "\"rnu\" is not a command; did you mean run?"),
    Mistake("--versoin", says: "\"--versoin\" is not an option; did you mean --version?"),
    Mistake("run", says: "there is no KERNEL and no --bios; give one of them"),
    Mistake("run", "--rwdsk", "disk", "kernel", says: "\"--rwdsk\" is not an option; did you mean --rwdisk?", "--help lists all"),
    Mistake("run", "-cpus", "2", "kernel", says: "\"-cpus\"", "give --cpus"),
    Mistake("run", "kernel", "--mem", says: "--mem has no value; give --mem SIZE"),
    Mistake("run", "--mem", "--cpus", "2", "kernel", says: "--mem has no value, as \"--cpus\" is an option"),
    Mistake("run", "kernel", "more", says: "\"more\" is one argument too many"),
    Mistake("run", "--shared-dir", "d", "kernel", says: "--shared-dir is not available in this build"),
    Mistake("--log-level", "loud", "run", "kernel", says: "\"loud\" is not a level; give off"),
    Mistake("--syslog-tag", "a b", "run", "kernel", says: "\"a b\" is not a word; give"),
  ])
  func aSlipOfTheHandIsNamed(mistake: Mistake) throws {
    try mistake.expect(status: 2, in: workplace)
  }

  @Test(arguments: [
    Mistake("run", "--bios", "firmware", "kernel", says: "KERNEL and --bios exclude each other"),
    Mistake("run", "--bios", "firmware", "-i", "disk", says: "--initrd and --bios exclude each other"),
    Mistake("run", "--rwroot", "disk", "--root", "kernel", "kernel", says: "both \"disk\" and \"kernel\"", "root disk; choose one"),
    Mistake("run", "--rwdisk", "disk", "-d", "./disk", "kernel", says: "\"disk\" and \"./disk\" are the same file", "make both read-only"),
    Mistake("run", "--pmem", "disk", "-d", "./disk", "kernel", says: "\"./disk\" and \"disk\" are the same file", "make both read-only"),
    Mistake("run", "--pmem", "disk,root", "--root", "kernel", "kernel", says: "both \"kernel\" and \"disk\"", "root disk; choose one"),
    Mistake(
      "run", "--serial", "console", "--serial", "stdout,num=2,console", "--serial", "num=3,console", "kernel",
      says: "\"console\" is not possible; give stdout"),
    Mistake(
      "run", "--serial", "stdout,console", "--serial", "stdout,num=2,console", "kernel",
      says: "both ttyS0 and ttyS1 are to be the console; choose one"),
    Mistake(
      "run", "--serial", "stdout,stdin", "--serial", "sink,num=2,stdin", "kernel",
      says: "both ttyS0 and ttyS1 are to read the standard input; choose one"),
    Mistake("run", "--serial", "stdout", "--serial", "sink", "kernel", says: "two serial ports", "num=1; give each another number"),
    Mistake("run", "--split-irqchip", "--irqchip", "kernel", "kernel", says: "exclude each other; give one"),
    Mistake("run", "--root", "disk", "--root", "kernel", "kernel", says: "--root is given twice", "\"kernel\"; give it once"),
    Mistake("run", "--rwroot", "disk", "--rwroot", "kernel", "kernel", says: "--rwroot is given twice"),
    Mistake("run", "-c", "1", "-c", "2", "kernel", says: "--cpus is given twice", "\"2\"; give it once"),
  ])
  func contradictionsAreNamed(mistake: Mistake) throws {
    try mistake.expect(status: 2, in: workplace)
  }

  @Test(arguments: ["0", "33", "-1", "1000000000000000000000000000000", "1.5", "two", "", " 1"])
  func aNumberOfProcessorsThatCannotBeIsNamed(count: String) throws {
    let remedy = count.isEmpty ? "give" : "give a whole number from 1 to 32"
    try Mistake("run", "--cpus", count, "kernel", says: "--cpus", remedy).expect(status: 2, in: workplace)
  }

  @Test(arguments: ["0", "1", "-1", "18446744073709551616", "1000000000000000000000000000000", "5T", "16777217G", "many", "64Q", "1.5G"])
  func aSizeOfMemoryThatCannotBeIsNamed(size: String) throws {
    let mistake = Mistake("run", "--mem", size, "kernel", says: "--mem", "\"\(size)\"", "from 16M to 4T")
    try mistake.expect(status: 2, in: workplace)
  }

  @Test(arguments: [
    Mistake("run", "--cpus", "num-cors=2", "kernel", says: "\"num-cors\" is not a known key; did you mean num-cores? known is num-cores"),
    Mistake("run", "--mem", "size=64,huge", "kernel", says: "\"huge\" is not a known key, at character 9; known is size"),
    Mistake("run", "--block", "disk,redonly", "kernel", says: "\"redonly\" is not a known key, at character 6", "known are path, ro"),
    Mistake("run", "--block", "disk,queues=two", "kernel", says: "\"two\" is not a whole number, at character 13; give"),
    Mistake("run", "--block", "ro", "--block", "ro=true", "kernel", says: "there is no path; give path=PATH"),
    Mistake("run", "--net", "tap0,mak=1", "kernel", says: "\"mak\" is not a known key, at character 6; did you mean mac?"),
    Mistake("run", "--net", "tap0", "--tap-name", "tap0", "kernel", says: "two network cards are to use the tap tap0; give each"),
    Mistake("run", "--serial", "tipe=stdout", "kernel", says: "\"tipe\" is not a known key; did you mean type?"),
    Mistake("run", "--serial", "file", "kernel", says: "type file needs a path; give path=PATH"),
  ])
  func unknownKeysAreNamed(mistake: Mistake) throws {
    try mistake.expect(status: 2, in: workplace)
  }

  @Test(arguments: [
    Mistake("run", "missing", says: "the kernel \"missing\" does not exist; check the path"),
    Mistake("run", "", says: "KERNEL: the path is empty; give one"),
    Mistake("run", "directory", says: "the kernel \"directory\" is a directory; give the path of a file"),
    Mistake("run", "fifo", says: "the kernel \"fifo\" is not a regular file; give"),
    Mistake("run", "no\nline\u{1b}[2J", says: "the kernel \"no\\nline\\u{1B}[2J\" does not exist"),
    Mistake("run", "-i", "missing", "kernel", says: "the initramfs \"missing\" does not exist; check the path"),
    Mistake("run", "-i", "directory", "kernel", says: "the initramfs \"directory\" is a directory"),
    Mistake("run", "--bios", "missing", says: "the firmware \"missing\" does not exist"),
    Mistake("run", "--rwdisk", "missing", "kernel", says: "the disk image \"missing\" does not exist; check the path"),
    Mistake("run", "-r", "directory", "kernel", says: "the disk image \"directory\" is a directory"),
    Mistake("run", "--pmem-device", "missing", "kernel", says: "the persistent memory image \"missing\" does not exist; check the path"),
    Mistake("run", "--pmem", "directory", "kernel", says: "the persistent memory image \"directory\" is a directory; give"),
    Mistake("run", "--rw-pmem-device", "fifo", "kernel", says: "image \"fifo\" is neither a regular file nor a block device; give"),
    Mistake("run", "-d", "fifo", "kernel", says: "the disk image \"fifo\" is neither a regular file nor a block device; give"),
    Mistake("run", "--serial", "file,path=directory", "kernel", says: "the serial output file \"directory\" is a directory"),
    Mistake("run", "--serial", "file,path=no/log", "kernel", says: "\"no/log\" lies in a directory that does not exist; create it"),
  ])
  func filesThatCannotBeAreNamed(mistake: Mistake) throws {
    try mistake.expect(status: 2, in: workplace)
  }

  @Test func readingAFIFOWouldWaitForEverAndIsNotTried() throws {
    // What hangs has no status.
    for option in ["--bios", "-i", "-d", "--rwdisk"] {
      let ending = try Crosvm.run(["run", option, "fifo"] + (option == "--bios" ? [] : ["kernel"]), in: workplace)
      #expect(ending.status == 2)
    }
  }

  @Test(.enabled(if: OtherUser.canRun, "needs root, setpriv, and an executable that all users may run"))
  func whatAnotherUserMayNotDoIsNamed() throws {
    workplace.write("secret", ELFFile().bytes, mode: 0o600)
    let mistakes = [
      Mistake("run", "--rwdisk", "disk", "kernel", says: "the disk image \"disk\" cannot be written", "let the guest only read it"),
      Mistake("run", "secret", says: "the kernel \"secret\" cannot be read; change its permissions"),
      Mistake("run", "--serial", "file,path=log", "kernel", says: "\"log\" cannot be written; change its permissions or give another path"),
      Mistake("run", "--serial", "file,path=disk", "kernel", says: "\"disk\" cannot be written"),
    ]
    for mistake in mistakes { try mistake.expect(status: 2, in: workplace, launcher: OtherUser.launcher) }
  }
}

/// A user who may do little.
enum OtherUser {
  static let launcher = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]

  static let canRun: Bool = {
    guard geteuid() == 0 else { return false }
    return (try? Crosvm.run(["version"], in: Workplace(), launcher: launcher))?.status == 0
  }()
}
