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
    let input =
      "stty -echo; cat >/tmp/paste <<END\n" + lines.joined(separator: "\n")
      + "\nEND\necho sum=$(cksum </tmp/paste | cut -d' ' -f1) lines=$(wc -l </tmp/paste)\nexit\n"
    let run = try Guest(input: input).run(environment)
    try expect(run.output.contains("lines=1000"), "1000 lines in the guest", in: run)
    try expect(run.output.contains("sum=\(checksum(lines.joined(separator: "\n") + "\n"))"), "the checksum of the paste", in: run)
  },
]

/// POSIX cksum: a CRC of the bytes and of their count.
private func checksum(_ text: String) -> UInt32 {
  var crc: UInt32 = 0
  func take(_ byte: UInt8) {
    crc ^= UInt32(byte) << 24
    for _ in 0..<8 { crc = crc & 0x8000_0000 != 0 ? crc << 1 ^ 0x04c1_1db7 : crc << 1 }
  }
  let bytes = Array(text.utf8)
  for byte in bytes { take(byte) }
  var count = bytes.count
  while count > 0 {
    take(UInt8(count & 0xff))
    count >>= 8
  }
  return ~crc
}
