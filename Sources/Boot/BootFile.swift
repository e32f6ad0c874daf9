internal import Glibc
internal import GuestMemory
internal import Platform

/// A kernel, initramfs or firmware file that the caller has opened for reading.
public struct BootFile: Sendable {
  /// The descriptor, lent: it must stay open while the guest is being prepared.
  public let descriptor: Int32
  /// What the user calls the file; messages begin with it.
  public let name: String

  /// Names an open file.
  public init(descriptor: Int32, name: String) {
    self.descriptor = descriptor
    self.name = name
  }

  /// The file's size in bytes, never 0.
  ///
  /// - Throws: `directory`, `notRegular`, `empty` or `system`.
  func size() throws(FileProblem) -> UInt64 {
    var status = stat()
    do { try retrying("examine the file") { unsafe Int(fstat(descriptor, &status)) } } catch { throw .system(error) }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw .directory
    default: throw .notRegular
    }
    guard status.st_size > 0 else { throw .empty }
    return UInt64(status.st_size)
  }

  /// The bytes at `offset`: `count` of them, or fewer where the file ends.
  func read(offset: UInt64, count: Int) throws(FileProblem) -> [UInt8] {
    guard let start = Int(exactly: offset) else { return [] }
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let (position, overflow) = start.addingReportingOverflow(done)
      guard !overflow else { break }
      let length: Int
      do {
        length = try retrying("read the file") {
          // In bounds: `done` bytes of the buffer's `count` are filled, and the call gets the rest.
          unsafe bytes.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress.map { unsafe $0 + done }, count - done, position) }
        }
      } catch { throw .system(error) }
      guard length > 0 else { break }
      done += length
    }
    bytes.removeLast(count - done)
    return bytes
  }

  /// Reads a part of the file straight into guest memory.
  ///
  /// - Parameter refusal: Names the file in an error that is the file's fault.
  func copy(_ part: KernelPlan.Part, into memory: GuestMemory, refusal: (FileProblem) -> BootError) throws(BootError) {
    do {
      try memory.readFile(descriptor: descriptor, offset: part.fileOffset, count: part.size, into: GuestAddress(part.address))
    } catch {
      switch error {
      case .endOfFile: throw refusal(.shrank)
      case .system(let error): throw refusal(.system(error))
      case .outOfRange, .misaligned, .badLayout: throw .memory(error)
      }
    }
  }
}
