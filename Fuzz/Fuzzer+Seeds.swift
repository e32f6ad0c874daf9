internal import CommandLine
internal import ControlTesting
internal import DiskImageTesting
internal import NetTesting
internal import SandboxTesting
internal import SeccompTesting
internal import VsockTesting

@testable internal import crosvm

/// What the fuzzers begin with: a few good inputs each, so that coverage soon goes beyond the first checks.
extension Fuzzer {
  /// Good inputs.
  var seeds: [[UInt8]] {
    switch self {
    case .queue: Fuzzer.choices(kinds: 32, actions: 12)
    case .pciTransport: Fuzzer.choices(kinds: 16, actions: 16) + Fuzzer.guests
    case .blockRequest: Fuzzer.blockRequests
    case .qcow2: qcow2Seeds()
    case .kernelLoader: [KernelSeeds.bzImage, KernelSeeds.elf]
    case .optionValue: ["disk.img,ro,queues=4", "x=[a,[b]],\"a,b\\\"\"", "w[k=v]", "é"].map { Array($0.utf8) }
    case .commandLine: Fuzzer.commandLines.map { Array($0.joined(separator: "\0").utf8) }
    case .controlMessage: ControlSeeds.packets
    case .deviceMessage: DeviceMessageSeeds.packets
    case .deviceSession: Fuzzer.choices(kinds: 16, actions: 16) + DeviceSessionSeeds.sessions
    case .seccompPolicy: SeccompSeeds.policies
    case .androidSparse: [AndroidSparseFile.sample.bytes]
    case .composite: [CompositeFile.sample.bytes]
    case .vsockPacket: VsockSeeds.sessions
    case .netTransmit: NetSeeds.frames
    case .netControl: NetSeeds.orders
    case .netStream: NetSeeds.streams
    }
  }

  /// Words that inputs are made of.
  var dictionary: [String] {
    switch self {
    case .queue, .pciTransport, .blockRequest, .deviceMessage, .deviceSession, .androidSparse, .vsockPacket: []
    case .netTransmit, .netControl, .netStream: []
    case .qcow2: ["QFI\u{fb}"]
    case .kernelLoader: ["HdrS", "\u{7f}ELF", "Xen\0"]
    case .optionValue: [",", "=", "[", "]", "\"", "\\\"", "key=", "[[[[[[[[[[[[[[[["]
    case .commandLine: Fuzzer.commandWords
    case .controlMessage: ControlSeeds.words
    case .seccompPolicy: SeccompSeeds.words
    case .composite: ["composite_disk\u{1d}", "../", "/"]
    }
  }

  /// Each kind of subject with every act in turn.
  private static func choices(kinds: UInt8, actions: UInt8) -> [[UInt8]] {
    (0..<kinds).map { kind in [kind] + (0..<4).flatMap { round in (0..<actions).flatMap { [$0, round, kind, 1, 0, 2, 16, 0] } } }
  }

  /// Guests that start a device with vectors and two queues, split or packed, make a buffer available, and let it be served.
  private static var guests: [[UInt8]] { [guest(isPacked: false), guest(isPacked: true)] }

  private static func guest(isPacked: Bool) -> [UInt8] {
    var bytes: [UInt8] = [isPacked ? 0x2f : 0x2b]
    // MSI-X on, and three vectors unmasked.
    bytes += [6, 0, 0x80]
    for vector in 0..<3 as Range<UInt8> { bytes += [6, 2, vector, 1, 0x40, 0] }
    // Two queues of 16, at pages 0 and 1.
    bytes += [9, isPacked ? 1 : 0, 2] + [0, 4, 1, 0] + [0, 4, 2, 0]
    // A writable buffer of 16 bytes at 0x5000: both halves of its descriptor, then the available index of a split ring.
    bytes += [11, 0, 0, 0, 1, 0] + [0, 0, 0, 0, 0, 0, 0, 0x50]
    bytes += [11, 0, 0, 8, 1, 0] + (isPacked ? [0x82, 0, 0, 0, 0, 0, 16, 0] : [0, 0, 2, 0, 0, 0, 16, 0])
    bytes += [11, 0, 1, 2, 1, 1] + [1, 0]
    // Notified and served; saved and restored; changed; reset.
    return bytes + [10, 0, 12, 3, 14, 0, 12, 0, 12, 1, 8, 0]
  }

  /// A request of each type: eight bytes that choose the disk, then the request's header and a range.
  private static var blockRequests: [[UInt8]] {
    ([0, 1, 4, 8, 11, 13, 99] as [UInt8]).map { type in
      [2, 0x7f, 0xff, 0, 2, 255, 0, 0] + [type, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
        + [UInt8](repeating: 0, count: 8) + [1, 0, 0, 0, 0, 0, 0, 0]
    }
  }

  /// The examples of the help, and one use of each option.
  private static var commandLines: [[String]] {
    let examples = Table.run.examples.map { $0.line.split(separator: " ").dropFirst().map { String($0) } }
    let uses = Table.run.groups.flatMap(\.options).map { option in
      ["run", "k", "--\(option.name)"] + (option.shape.map { [Fuzzer.value(of: $0)] } ?? [])
    }
    return examples + uses + [
      ["--log-level", "warn,block=trace", "--syslog-tag", "t", "run", "--cpu-affinity", "0=0,1:1=2", "-c", "2", "/proc/self/exe"],
      ["run", "--serial", "unix,path=/s,num=4", "--serial", "stdin,console,earlycon", "--bios=/proc/self/exe"], ["help", "run"],
      ["completions", "bash"], ["man", "run"], ["version"],
    ]
  }

  /// A value with each of the fields, which need not be good.
  private static func value(of shape: ValueShape) -> String {
    guard let fields = shape.fields?.fields else { return "1" }
    return fields.map { "\($0.name)=\($0.defaultText ?? "1")" }.joined(separator: ",")
  }

  private static var commandWords: [String] {
    let commands = [Table.crosvm] + Table.crosvm.subcommands
    let options = commands.flatMap(\.groups).flatMap(\.options)
    let shapes = options.compactMap(\.shape)
    let fields = shapes.flatMap { $0.fields?.fields ?? [] }
    let unavailable = commands.flatMap(\.unavailable).flatMap(\.names) + shapes.flatMap { $0.fields?.unavailable ?? [] }
    let completions = (shapes + fields.map(\.shape)).flatMap { shape -> [String] in
      if case .words(let words) = shape.completion { words } else { [] }
    }
    let words =
      commands.map(\.name) + options.map { "\0--\($0.name)" } + options.compactMap { $0.short.map { "\0-\($0)" } }
      + fields.flatMap { ["\($0.name)=", ",\($0.name)"] } + unavailable + completions
    return ["\0", "\n"] + Set(words).sorted()
  }
}
