/// The headers of an ELF kernel for x86-64, checked (System V ABI, "Object Files"; x86-64 supplement).
struct ELFKernel: Equatable {
  /// A loadable segment, checked against the file and against RAM.
  struct Segment: Equatable {
    /// Its program header's number.
    let index: Int
    /// Where its bytes are in the file, and how many.
    let fileOffset: UInt64
    let fileSize: UInt64
    /// Which guest-physical addresses it takes; those beyond `fileSize` are to be zero.
    let memory: Range<UInt64>
  }

  /// How much of the file's beginning `init` needs to see.
  static let headerSize = 64
  static let programHeaderSize = 56
  /// More program headers than any kernel has; bounds the work on a hostile file.
  static let maximumProgramHeaders = 256
  /// Longer than any kernel's notes; bounds the work on a hostile file.
  static let maximumNoteSize: UInt64 = 1 << 20

  /// The loadable segments that take memory, by rising address.
  let segments: [Segment]
  /// The entry point of the ELF header.
  let entry: UInt64
  /// Where note segments are in the file.
  let notes: [Range<UInt64>]

  /// Whether a file with this beginning is an ELF file.
  static func matches(_ start: [UInt8]) -> Bool { start.starts(with: [0x7f, 0x45, 0x4c, 0x46]) }

  /// The end of the highest segment that begins below 4 GiB: there and above, low RAM is free.
  var lowMemoryEnd: UInt64 {
    segments.filter { $0.memory.lowerBound < X86Layout.fourGiB }.map(\.memory.upperBound).max() ?? X86Layout.firstKernelAddress
  }

  /// Whether the 64-bit entry can be used: the entry is inside a segment, where the first page tables reach.
  var hasPhysicalEntry: Bool { entry < X86Layout.fourGiB && segments.contains { $0.memory.contains(entry) } }

  /// Reads the headers.
  ///
  /// - Parameters:
  ///   - file: Gives bytes at an offset, fewer where the file ends.
  ///   - fileSize: The size of the whole file.
  ///   - map: Which addresses are RAM.
  init(
    fileSize: UInt64, map: X86AddressMap, reading file: (_ offset: UInt64, _ count: Int) throws(FileProblem) -> [UInt8]
  ) throws(KernelProblem) {
    let header = HeaderBytes(bytes: try ELFKernel.read(file, 0, ELFKernel.headerSize), part: "ELF header")
    try ELFKernel.checkIdentity(header)
    entry = try header.load(0x18)
    let table = try ELFKernel.programHeaders(header, fileSize: fileSize, reading: file)
    var segments: [Segment] = []
    var notes: [Range<UInt64>] = []
    for index in 0..<table.bytes.count / ELFKernel.programHeaderSize {
      let at = index * ELFKernel.programHeaderSize
      let type: UInt32 = try table.load(at)
      guard type == 1 || type == 4 else { continue }
      let part = try ELFKernel.filePart(table, at: at, index: index, fileSize: fileSize)
      if type == 4 {
        notes.append(part)
      } else if let segment = try ELFKernel.segment(table, at: at, index: index, part: part, map: map) {
        segments.append(segment)
      }
    }
    guard !segments.isEmpty else { throw .badField("the number of loadable segments", value: 0, expected: "at least one") }
    segments.sort { $0.memory.lowerBound < $1.memory.lowerBound }
    for (lower, upper) in zip(segments, segments.dropFirst()) where lower.memory.upperBound > upper.memory.lowerBound {
      throw .segment(upper.index, .overlaps(lower.index))
    }
    self.segments = segments
    self.notes = notes
  }

  private static func read(
    _ file: (UInt64, Int) throws(FileProblem) -> [UInt8], _ offset: UInt64, _ count: Int
  ) throws(KernelProblem) -> [UInt8] {
    do { return try file(offset, count) } catch { throw .file(error) }
  }

  private static func checkIdentity(_ header: HeaderBytes) throws(KernelProblem) {
    let width: UInt8 = try header.load(4)
    let order: UInt8 = try header.load(5)
    guard order != 2 else { throw .wrongELF(.bigEndian) }
    guard order == 1 else { throw .badField("EI_DATA", value: UInt64(order), expected: "1, little-endian") }
    let machine: UInt16 = try header.load(0x12)
    guard width != 1 else { throw .wrongELF(.bits32(machine: machine)) }
    guard width == 2 else { throw .badField("EI_CLASS", value: UInt64(width), expected: "2, 64 bits") }
    guard machine == 62 else { throw .wrongELF(.machine(machine)) }
    let type: UInt16 = try header.load(0x10)
    guard type == 2 || type == 3 else { throw .wrongELF(.type(type)) }
  }

  /// The program header table: a whole number of headers, at most `maximumProgramHeaders`.
  private static func programHeaders(
    _ header: HeaderBytes, fileSize: UInt64, reading file: (UInt64, Int) throws(FileProblem) -> [UInt8]
  ) throws(KernelProblem) -> HeaderBytes {
    let offset: UInt64 = try header.load(0x20)
    let entrySize: UInt16 = try header.load(0x36)
    let count: UInt16 = try header.load(0x38)
    guard entrySize == programHeaderSize else { throw .badField("e_phentsize", value: UInt64(entrySize), expected: "0x38") }
    guard (1...maximumProgramHeaders).contains(Int(count)) else {
      throw .badField("e_phnum", value: UInt64(count), expected: "1 to \(hex(maximumProgramHeaders))")
    }
    guard offset >= headerSize else { throw .badField("e_phoff", value: offset, expected: "0x40 or more") }
    let size = Int(count) * programHeaderSize
    let (end, overflow) = offset.addingReportingOverflow(UInt64(size))
    guard !overflow else { throw .badField("e_phoff", value: offset, expected: "an offset inside the file") }
    guard end <= fileSize else { throw .truncated(part: "program header table", needed: end, size: fileSize) }
    let bytes = try read(file, offset, size)
    guard bytes.count == size else { throw .truncated(part: "program header table", needed: end, size: fileSize) }
    return HeaderBytes(bytes: bytes, part: "program header table", fileOffset: offset)
  }

  /// The part of the file that the program header at `at` names.
  private static func filePart(_ table: HeaderBytes, at: Int, index: Int, fileSize: UInt64) throws(KernelProblem) -> Range<UInt64> {
    let offset: UInt64 = try table.load(at + 0x08)
    let size: UInt64 = try table.load(at + 0x20)
    let (end, overflow) = offset.addingReportingOverflow(size)
    guard !overflow else { throw .badField("program header \(index)'s p_offset", value: offset, expected: "an offset inside the file") }
    guard size == 0 || end <= fileSize else { throw .truncated(part: "segment of program header \(index)", needed: end, size: fileSize) }
    return offset..<end
  }

  /// A loadable segment; `nil` when it takes no memory.
  private static func segment(
    _ table: HeaderBytes, at: Int, index: Int, part: Range<UInt64>, map: X86AddressMap
  ) throws(KernelProblem) -> Segment? {
    let address: UInt64 = try table.load(at + 0x18)
    let size: UInt64 = try table.load(at + 0x28)
    let fileSize = part.upperBound - part.lowerBound
    guard size >= fileSize else { throw .segment(index, .smallerInMemory(memory: size, file: fileSize)) }
    guard size > 0 else { return nil }
    let (end, overflow) = address.addingReportingOverflow(size)
    guard !overflow else { throw .segment(index, .wraps(address: address, size: size)) }
    guard address >= X86Layout.firstKernelAddress else { throw .segment(index, .overLowMemory(address: address, size: size)) }
    guard map.isRAM(start: address, end: end) else { throw .segment(index, .outsideRAM(address: address, size: size)) }
    return Segment(index: index, fileOffset: part.lowerBound, fileSize: fileSize, memory: address..<end)
  }
}
