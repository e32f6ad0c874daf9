/// Guest memory, below and above the hole.
let memoryTests: [GuestTest] = [128, 1024, 5120].map { mebibytes in
  GuestTest("\(mebibytes) MiB of memory are all seen") { environment in
    // What firmware tables and the kernel's own image take is not in MemTotal; the map of the firmware says what was given.
    let script = """
      total=0
      for range in /sys/firmware/memmap/*; do
        if [ "$(cat $range/type)" = "System RAM" ]; then total=$((total + $(cat $range/end) - $(cat $range/start) + 1)); fi
      done
      echo ram=$((total / 1048576))
      echo usable=$(($(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo) / 1024))
      """
    let run = try Guest(options: ["-m", "\(mebibytes)"], script: script).run(environment)
    try expect(run.status == 0, "the exit status 0", in: run)
    let ram = run.value("ram").flatMap { Int($0) } ?? 0
    // Less than 1 MiB is reserved: the tables below 1 MiB and the area of old video memory.
    try expect((mebibytes - 1...mebibytes).contains(ram), "\(mebibytes) MiB in the memory map", in: run)
    let usable = run.value("usable").flatMap { Int($0) } ?? 0
    try expect(usable > mebibytes * 9 / 10 - 60, "nearly all of it in MemTotal", in: run)
  }
}
