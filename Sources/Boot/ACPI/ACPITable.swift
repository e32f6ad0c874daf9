/// A system description table: the common header, then what `fill` appends (ACPI 6.5, 5.2.6).
struct ACPITable {
  /// The whole table with its length and checksum.
  let bytes: [UInt8]

  static let headerSize = 36
  static let oem = "CROSVM"

  init(_ signature: String, revision: UInt8, _ fill: (inout TableBytes) -> Void) {
    var table = TableBytes()
    table.append(text: signature, width: 4)
    table.append(UInt32(0))  // length
    table.append(revision)
    table.append(UInt8(0))  // checksum
    table.append(text: ACPITable.oem, width: 6)
    table.append(text: "CROSVMPC", width: 8)
    table.append(UInt32(1))  // revision of the maker
    table.append(text: "CSVM", width: 4)  // who encoded it
    table.append(UInt32(1))  // and the encoder's version
    fill(&table)
    table.set(UInt32(clamping: table.count), at: 4)
    table.setChecksum(at: 9)
    bytes = table.bytes
  }
}
