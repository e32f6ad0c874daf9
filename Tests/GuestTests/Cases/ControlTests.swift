import Glibc

/// A machine with a control socket, and the commands that use it.
struct SteeredGuest {
  let running: RunningGuest
  private let environment: TestEnvironment
  private let socket: String

  init(_ guest: Guest, _ environment: TestEnvironment) throws {
    self.environment = environment
    socket = environment.scratchFile("control.sock")
    var guest = guest
    guest.options += ["--socket", socket]
    running = try guest.start(environment)
  }

  /// Runs a command of crosvm on the socket; nil when it worked, else what it said.
  func ask(_ words: String...) throws -> String? {
    let run = try run(words)
    return run.status == 0 ? nil : run.errors
  }

  /// Runs a command of crosvm on the socket.
  func run(_ words: [String]) throws -> GuestRun {
    try Child.run([environment.crosvm] + words + [socket], input: "", seconds: 120, directory: environment.scratch)
  }

  /// The balloon's statistics, asked for until they contain a text; the last ones when they do not within some seconds.
  func statistics(seconds: Int, until text: String) throws -> String {
    let deadline = Child.now() + Double(seconds)
    while true {
      let statistics = try run(["balloon_stats"]).output
      if statistics.contains(text) || Child.now() > deadline { return statistics }
      usleep(500_000)
    }
  }

  /// How many bytes the balloon holds, as its statistics say; -1 where there are none.
  var balloonBytes: Int {
    let statistics = try? run(["balloon_stats"]).output
    let number = statistics?.split(separator: "\"balloon_actual\": ").last?.prefix { $0.isNumber }
    return number.flatMap { Int($0) } ?? -1
  }

  /// How much of the guest's memory the host keeps, in MiB.
  var residentMebibytes: Int {
    let line = Child.read("/proc/\(running.process)/status").split(separator: "\n").first { $0.hasPrefix("RssShmem:") }
    return (line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) / 1024
  }

  /// Whether that comes to be within some seconds.
  func waits(seconds: Int, until condition: (Int) -> Bool) -> Bool {
    let deadline = Child.now() + Double(seconds)
    while !condition(residentMebibytes) {
      if Child.now() > deadline { return false }
      usleep(200_000)
    }
    return true
  }
}

/// Waits in the guest for the power button, with `$pressed` as the file that says it was.
let waitForButton = """
  modprobe button; modprobe evdev; pressed=/tmp/pressed
  button=/dev/input/$(basename $(dirname $(dirname $(grep -l 'Power Button' /sys/class/input/event*/device/name))))
  (head -c 24 $button | od -An -w24 -tu2 | tr -s ' ' >$pressed.new; mv $pressed.new $pressed) &
  """

/// The running machine is steered from the outside.
let controlTests: [GuestTest] = [
  GuestTest("the power button is seen by the guest, which shuts down in its own order") { environment in
    let script = waitForButton + "\nsleep 1; echo READY; wait; echo event=$(cut -d' ' -f10-12 $pressed)"
    let guest = try SteeredGuest(Guest(options: ["-r", environment.file("root.squashfs")], script: script), environment)
    try expect(guest.running.waitForOutput("READY", seconds: 200), "a guest that waits for its button")
    let refusal = try guest.ask("powerbtn")
    let run = guest.running.end(nil, seconds: 200)
    try expect(refusal == nil, "a button that works, not \(refusal ?? "")", in: run)
    // A key (1), KEY_POWER (116), pressed (1): after a time of sixteen bytes (linux/input.h).
    try expect(run.value("event") == "1 116 1", "the press of the power key", in: run)
    try expect(run.scriptStatus == 0 && run.status == 0, "an ordinary end", in: run)
  },
  GuestTest("a disk that is resized is seen at once, and its new part can be used") { environment in
    let image = environment.scratchFile("disk")
    try Child.makeDisk(image, bytes: 8 << 20)
    defer { unsafe _ = unlink(image) }
    let script = """
      echo before=$(cat /sys/block/vda/size); echo READY
      while [ $(cat /sys/block/vda/size) = 16384 ]; do sleep 0.1; done
      echo after=$(cat /sys/block/vda/size); echo grown | dd of=/dev/vda bs=512 seek=32767 conv=sync 2>/dev/null; sync; echo DONE
      while [ $(cat /sys/block/vda/size) = 32768 ]; do sleep 0.1; done
      echo last=$(cat /sys/block/vda/size)
      """
    let guest = try SteeredGuest(Guest(options: ["--rwdisk", image], script: script), environment)
    try expect(guest.running.waitForOutput("READY", seconds: 200), "a guest with a disk")
    let command = ["disk", "resize", "0"]
    let grown = try guest.run(command + ["\(16 << 20)"])
    let isDone = guest.running.waitForOutput("DONE", seconds: 60)
    let written = try Child.readBytes(image).suffix(512)
    let refused = try guest.run(command + ["1000"])
    let kept = try guest.run(command + ["\(4 << 20)"])
    let shrunk = try guest.run(command + ["--shrink", "\(4 << 20)"])
    let run = guest.running.end(nil, seconds: 200)
    try expect(grown.status == 0 && isDone && run.value("before") == "16384" && run.value("after") == "32768", "a larger disk", in: run)
    try expect(written.starts(with: Array("grown".utf8)), "what was written in the new part", in: run)
    try expect(refused.status == 1 && refused.errors.contains("not a multiple"), "a refusal", in: refused)
    try expect(kept.status == 1 && kept.errors.contains("give --shrink"), "no smaller disk by mistake", in: kept)
    try expect(shrunk.status == 0 && run.value("last") == "8192", "a smaller disk", in: run)
  },
  GuestTest("100 turns of suspend and resume under load lose nothing, and the clock is right afterwards") { environment in
    let image = environment.scratchFile("disk")
    try Child.makeDisk(image, bytes: 64 << 20)
    defer { unsafe _ = unlink(image) }
    let script =
      waitForButton + """

        (i=0; while [ ! -e $pressed ]; do i=$((i + 1)); done; echo counted=$i) &
        sleep 1; echo READY
        rounds=0
        until [ -e $pressed ]; do
          fio --name=x --filename=/dev/vdb --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --iodepth=16 --size=2M \\
            --verify=crc32c --verify_fatal=1 --minimal >/tmp/fio || { echo FIO-FAILED; cat /tmp/fio; }
          rounds=$((rounds + 1))
        done
        wait
        echo rounds=$rounds
        echo clock=$(date +%s)
        dmesg | grep -iE 'lockup|stall|hung task|I/O error' || echo no-complaints
        """
    let options = ["-r", environment.file("root.squashfs"), "--rwdisk", image]
    let guest = try SteeredGuest(Guest(options: options, script: script), environment)
    try expect(guest.running.waitForOutput("READY", seconds: 200), "a guest under load")
    var refusals: [String] = []
    var suspended = 0.0
    for turn in 0..<100 {
      if let refusal = try guest.ask("suspend") { refusals.append(refusal) }
      let start = Child.now()
      // Sometimes for as long as a timer takes to be missed.
      if turn % 25 == 0 { usleep(3_000_000) }
      suspended += Child.now() - start
      if let refusal = try guest.ask("resume") { refusals.append(refusal) }
    }
    if let refusal = try guest.ask("powerbtn") { refusals.append(refusal) }
    _ = guest.running.waitForOutput("clock=", seconds: 300)
    let now = wallClock()
    let run = guest.running.end(nil, seconds: 300)
    try expect(refusals.isEmpty, "all turns to work, not \(refusals)", in: run)
    try expect(run.scriptStatus == 0 && run.status == 0, "an ordinary end", in: run)
    try expect(!run.output.contains("FIO-FAILED"), "every byte to be read back as it was written", in: run)
    try expect(run.lines.contains("no-complaints"), "a kernel without complaints", in: run)
    try expect((run.value("counted").flatMap { Int($0) } ?? 0) > 0, "a count", in: run)
    try expect((run.value("rounds").flatMap { Int($0) } ?? 0) > 0, "rounds of fio", in: run)
    let clock = run.value("clock").flatMap { Int($0) } ?? 0
    // A clock that stood still while the guest was suspended is off by twice that.
    try expect(
      Double(abs(clock - now)) < suspended / 2, "the host's time, not \(clock - now) seconds off after \(suspended) of suspension", in: run)
  },
  GuestTest("memory that the guest frees is freed on the host, by reports and by the balloon; statistics tell") { environment in
    let steps =
      waitForButton + """

        modprobe virtio_balloon; mkdir /tmp/memory; mount -t tmpfs -o size=300m none /tmp/memory
        head -c 200M /dev/zero >/tmp/memory/file; echo WRITTEN
        sleep 8; rm /tmp/memory/file; echo FREED
        wait
        """
    let options = ["-m", "1024", "-r", environment.file("root.squashfs")]
    let guest = try SteeredGuest(Guest(options: options, script: steps), environment)
    try expect(guest.running.waitForOutput("WRITTEN", seconds: 300), "a guest that has written to its memory")
    let written = guest.residentMebibytes
    try expect(guest.running.waitForOutput("FREED", seconds: 100), "a guest that has freed its memory")
    let isReported = guest.waits(seconds: 60) { $0 < written - 150 }
    let reported = guest.residentMebibytes
    let refusal = try guest.ask("balloon", "\(768 << 20)")
    // What the balloon takes is mostly untouched memory, so the driver's own figure tells.
    let statistics = try guest.statistics(seconds: 120, until: "\"balloon_actual\": \(768 << 20)}")
    let back = try guest.ask("balloon", "0")
    let last = try guest.statistics(seconds: 120, until: "\"balloon_actual\": 0}")
    _ = try guest.ask("powerbtn")
    let run = guest.running.end(nil, seconds: 200)
    try expect(isReported, "free pages to leave the host's memory: \(written) MiB before, \(reported) after", in: run)
    try expect(refusal == nil && back == nil, "a balloon that moves, not \(refusal ?? "") \(back ?? "")", in: run)
    try expect(statistics.contains("\"balloon_actual\": \(768 << 20)}"), "768 MiB in the balloon, not \(statistics)", in: run)
    try expect(statistics.contains("\"total_memory\": ") && !statistics.contains("\"total_memory\": null"), "statistics", in: run)
    try expect(last.contains("\"balloon_actual\": 0}"), "an empty balloon at the end, not \(last)", in: run)
    try expect(run.status == 0, "an ordinary end", in: run)
  },
  GuestTest("a balloon that wants all of the guest's memory gives some back when the guest needs it") { environment in
    // Waits by counting how often the power button was pressed, for which no program must be started but sleep.
    let script = """
      modprobe virtio_balloon; modprobe button; echo READY
      pressed() { count=0; until [ $count = $1 ]; do sleep 0.2; read -r count rest </sys/firmware/acpi/interrupts/ff_pwr_btn; done; }
      until dmesg | grep -q 'Out of puff'; do sleep 0.2; done; echo FULL
      pressed 1; dd if=/dev/zero of=/tmp/file bs=64k count=512 2>/dev/null; echo TAKEN
      pressed 2; echo size=$(wc -c </tmp/file); echo killed=$(dmesg | grep -c 'Out of memory')
      """
    let memory = 192 << 20
    let guest = try SteeredGuest(Guest(options: ["-m", "\(memory >> 20)"], script: script), environment)
    try expect(guest.running.waitForOutput("READY", seconds: 200), "a guest with a balloon")
    let refusal = try guest.ask("balloon", "\(memory)")
    let isFull = guest.running.waitForOutput("FULL", seconds: 100)
    let full = guest.balloonBytes
    _ = try guest.ask("powerbtn")
    let isTaken = guest.running.waitForOutput("TAKEN", seconds: 100)
    let taken = guest.balloonBytes
    _ = try guest.ask("powerbtn")
    let run = guest.running.end(nil, seconds: 100)
    try expect(refusal == nil && isFull && full > memory / 2, "a balloon with nearly all, not \(full) bytes; \(refusal ?? "")", in: run)
    // Some of the 32 MiB are from what the driver leaves.
    try expect(isTaken && (0..<full - 16 << 20).contains(taken), "a smaller balloon, not \(taken) bytes after \(full)", in: run)
    try expect(run.value("size") == "\(32 << 20)" && run.value("killed") == "0", "all that the guest wrote, and nothing killed", in: run)
    try expect(run.status == 0 && run.scriptStatus == 0, "an ordinary end", in: run)
  },
]
