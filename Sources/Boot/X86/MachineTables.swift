internal import GuestMemory

/// The tables that describe the machine to the kernel, encoded and checked against their places.
struct MachineTables: Equatable {
  /// A table and its guest-physical address.
  struct Piece: Equatable {
    let name: String
    let address: UInt64
    let bytes: [UInt8]
  }

  let pieces: [Piece]

  init(board: X86Board, map: X86AddressMap) throws(BootError) {
    let ebda = X86Layout.ebda
    let mp = MPTable(board: board).bytes(at: ebda.lowerBound)
    let smbios = SMBIOSTables(processors: board.processors, map: map, uuid: board.systemUUID).bytes(at: X86Layout.smbios.lowerBound)
    pieces = [
      try MachineTables.piece("MP table", mp, in: ebda),
      Piece(name: "EBDA segment", address: X86Layout.ebdaSegmentWord, bytes: MachineTables.word(ebda.lowerBound >> 4)),
      Piece(name: "base memory size", address: X86Layout.baseMemoryWord, bytes: MachineTables.word(ebda.lowerBound >> 10)),
      try MachineTables.piece("ACPI tables", ACPITables(board: board, map: map).bytes(at: X86Layout.acpi.lowerBound), in: X86Layout.acpi),
      try MachineTables.piece("SMBIOS tables", smbios, in: X86Layout.smbios),
    ]
  }

  func write(to memory: GuestMemory) throws(GuestMemoryError) {
    for piece in pieces { try memory.write(piece.bytes, at: GuestAddress(piece.address)) }
  }

  static func piece(_ name: String, _ bytes: [UInt8], in place: Range<UInt64>) throws(BootError) -> Piece {
    let space = Int(place.upperBound - place.lowerBound)
    guard bytes.count <= space else { throw .tables(.tooLarge(table: name, bytes: bytes.count, space: space)) }
    return Piece(name: name, address: place.lowerBound, bytes: bytes)
  }

  private static func word(_ value: UInt64) -> [UInt8] { [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)] }
}
