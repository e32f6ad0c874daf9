import Glibc

/// Seconds since 1970.
func wallClock() -> Int { time(nil) }

/// How a run ends.
let endTests: [GuestTest] = [
  GuestTest("power-off ends the process with 0, and with 0 under --extended-status") { environment in
    try expect(try Guest(script: "true").run(environment).status == 0, "the exit status 0")
    let extended = try Guest(globalOptions: ["--extended-status"], script: "true").run(environment)
    try expect(extended.status == 0, "the exit status 0", in: extended)
  },
  GuestTest("a reboot ends the process with 32 under --extended-status") { environment in
    let run = try Guest(globalOptions: ["--extended-status"], parameters: ["guest.end=reboot"], script: "true").run(environment)
    try expect(run.status == 32, "the exit status 32", in: run)
  },
  GuestTest("a reboot through ACPI's reset register ends the process, too") { environment in
    let run = try Guest(globalOptions: ["--extended-status"], parameters: ["reboot=a", "guest.end=reboot"], script: "true").run(environment)
    try expect(run.status == 32, "the exit status 32", in: run)
  },
  GuestTest("a triple fault ends the process with 33 under --extended-status, and with 1 without") { environment in
    let run = try Guest(globalOptions: ["--extended-status"], parameters: ["reboot=t", "guest.end=reboot"], script: "true").run(environment)
    try expect(run.status == 33, "the exit status 33", in: run)
    try expect(run.errors.contains("triple fault"), "a word about the triple fault", in: run)
    let plain = try Guest(parameters: ["reboot=t", "guest.end=reboot"], script: "true").run(environment)
    try expect(plain.status == 1, "the exit status 1", in: plain)
  },
  GuestTest("a guest's panic ends the process with 34 under --extended-status") { environment in
    let run = try Guest(
      options: ["-r", environment.file("root.squashfs")], globalOptions: ["--extended-status"], parameters: ["guest.end=panic"],
      script: "modprobe pvpanic-mmio 2>/dev/null; modprobe pvpanic 2>/dev/null; true"
    ).run(environment)
    try expect(run.status == 34, "the exit status 34", in: run)
  },
  GuestTest("SIGTERM ends a running guest in good order") { environment in
    let running = try Guest(parameters: ["guest.end=none"], script: "echo up").start(environment)
    _ = running.waitForOutput("GUEST-EXIT", seconds: 120)
    let run = running.end(SIGTERM)
    try expect(run.output.contains("GUEST-EXIT 0"), "a running guest", in: run)
    try expect(run.status == 0, "the exit status 0", in: run)
  },
]
