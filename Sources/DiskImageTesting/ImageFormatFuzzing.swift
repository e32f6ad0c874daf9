public import DiskImage

/// Reads bytes as an Android sparse image, and checks what its map promises: runs that follow each other up to the disk's end, inside the file.
///
/// - Returns: The map, where the bytes make one.
@discardableResult
public func fuzzAndroidSparse(_ bytes: [UInt8]) -> AndroidSparseMap? {
  let map = try? AndroidSparseMap(fileSize: UInt64(bytes.count)) { (offset, count) throws(AndroidSparseError) in
    precondition(offset <= UInt64(bytes.count) && count <= bytes.count - Int(offset), "what is read is in the file")
    return Array(bytes[Int(offset)..<Int(offset) + count])
  }
  guard let map else { return nil }
  var (offset, runs): (UInt64, Int) = (0, 0)
  while let run = map.run(at: offset) {
    precondition(run.count > 0 && run.count <= map.size - offset, "a run is on the disk")
    // From a byte inside of a run the same run goes on.
    let inside = map.run(at: offset + run.count / 2)
    precondition(inside?.count == run.count - run.count / 2, "a run has one end")
    switch (run.content, inside?.content) {
    case (.file(let start), .file(let later)):
      precondition(start <= UInt64(bytes.count) && run.count <= UInt64(bytes.count) - start, "a run is in the file")
      precondition(later == start + run.count / 2, "a run is contiguous")
    case (.fill(let word), .fill(let later)):
      let shift = UInt32(run.count / 2 % 4) * 8
      precondition(later == (shift == 0 ? word : word >> shift | word << (32 - shift)), "a filling repeats its bytes")
    default: preconditionFailure("a run is of one kind")
    }
    offset += run.count
    runs += 1
  }
  precondition(offset == map.size && runs == map.runCount, "runs follow each other to the end")
  return map
}

/// Reads bytes as a composite image, and checks what its description promises: parts that follow each other up to the disk's end, with names
/// that stay in the folder.
///
/// - Returns: The description, where the bytes make one.
@discardableResult
public func fuzzComposite(_ bytes: [UInt8]) -> CompositeSpecification? {
  guard let specification = try? CompositeSpecification(bytes) else { return nil }
  var offset: UInt64 = 0
  for part in specification.parts {
    precondition(part.offset == offset && part.length > 0, "parts follow each other")
    precondition(part.length <= specification.length - offset, "a part is on the disk")
    let steps = part.path.split(separator: "/", omittingEmptySubsequences: false)
    precondition(
      !part.path.hasPrefix("/") && !steps.contains("..") && !steps.contains("") && !part.path.contains("\0"), "a name stays below")
    offset += part.length
  }
  precondition(offset == specification.length && !specification.parts.isEmpty, "parts reach the end")
  return specification
}
