/// The four serial ports.
let serialTests: [GuestTest] = [
  GuestTest("four serial ports are found, and a file takes what the second one writes") { environment in
    let output = environment.scratchFile("ttyS1")
    let script = """
      echo ports=$(dmesg | grep -c 'ttyS[0-3] at I/O .* is a 16550A')
      i=0; while [ $i -lt 200 ]; do echo "line $i of the second port" >/dev/ttyS1; i=$((i+1)); done; echo end >/dev/ttyS1
      """
    let run = try Guest(
      options: ["--serial", "type=stdout,num=1,console,stdin", "--serial", "type=file,num=2,path=\(output)"], script: script
    ).run(environment)
    try expect(run.value("ports") == "4", "four ports of type 16550A", in: run)
    let written = Child.read(output).split(whereSeparator: \.isNewline)
    try expect(written.count == 201 && written.last == "end", "201 whole lines in the file, not \(written.count)", in: run)
  },
  GuestTest("a thousand lines pasted into the console arrive whole") { environment in
    let lines = (0..<1000).map { "line \($0) of a paste that is longer than any buffer between here and there" }
    let compare = """
      i=0; while [ $i -lt 1000 ]; do echo "line $i of a paste that is longer than any buffer between here and there"; i=$((i+1)); done \
      | cmp - /tmp/paste && echo same=$((1+1))
      """
    // A terminal gives a line at a time; at first nobody reads, so that all that holds some is full.
    let input = "stty -echo; sleep 5; head -n 1000 >/tmp/paste\n" + lines.joined(separator: "\n") + "\n\(compare)\nexit\n"
    let run = try Guest(input: input, seconds: 900).run(environment)
    // The sum, because the console also shows what was typed.
    try expect(run.output.contains("same=2"), "all 1000 lines in the guest", in: run)
  },
]
