internal import CLinux
public import DiskImage
internal import Glibc
internal import Synchronization

/// A file in memory that stands in for an image's file, and can fail as files do: stop after some operations, and lose or keep anything that
/// was not synchronized.
public final class FaultyFile: ImageFile {
  private struct State {
    var content: [UInt8]
    /// What was on the disk at the last synchronization.
    var durable: [UInt8]
    /// The versions of each sector since then, in order.
    var versions: [Int: [[UInt8]]] = [:]
    /// How many operations are still done; nil for all.
    var operationsLeft: Int?
    var operations = 0
  }

  private static let sector = 512
  private let state: Mutex<State>
  private let limit: Int
  /// Whether it stands for a block device, which has all its bytes from the start.
  public let hasFixedLength: Bool
  /// The bytes that the file began with.
  public let length: UInt64

  /// Makes a file.
  ///
  /// - Parameters:
  ///   - content: Its bytes; all of them are on the disk.
  ///   - operationsLeft: How many operations are done before all fail; nil for no end.
  ///   - limit: The most bytes that it may have; writes beyond fail.
  ///   - hasFixedLength: Whether `content` is all that it may have.
  public init(_ content: [UInt8] = [], operationsLeft: Int? = nil, limit: Int = 64 << 20, hasFixedLength: Bool = false) {
    length = UInt64(content.count)
    self.limit = hasFixedLength ? content.count : limit
    self.hasFixedLength = hasFixedLength
    state = Mutex(State(content: content, durable: content, operationsLeft: operationsLeft))
  }

  /// The bytes as every reader sees them.
  public var content: [UInt8] { state.withLock { $0.content } }

  /// How many operations there were, reads not counted.
  public var operations: Int { state.withLock { $0.operations } }

  /// What a loss of power may leave: of each sector the last synchronized version, or any that was written since.
  ///
  /// - Parameter choose: Picks a number below the one given.
  public func afterPowerLoss(_ choose: (Int) -> Int) -> [UInt8] {
    state.withLock { state in
      var bytes = state.durable
      // The length may be the old or the new one, but never cuts off what is kept.
      if choose(2) == 1, state.content.count > bytes.count { bytes += [UInt8](repeating: 0, count: state.content.count - bytes.count) }
      for (sector, versions) in state.versions.sorted(by: { $0.key < $1.key }) {
        let chosen = choose(versions.count + 1)
        guard chosen > 0 else { continue }
        let start = sector * FaultyFile.sector
        let version = versions[chosen - 1]
        if bytes.count < start + version.count { bytes += [UInt8](repeating: 0, count: start + version.count - bytes.count) }
        bytes.replaceSubrange(start..<start + version.count, with: version)
      }
      return bytes
    }
  }

  /// Reads.
  @unsafe public func read(_ vectors: BufferVectors, at offset: UInt64) -> Int {
    state.withLock { state in
      var place = Int(clamping: offset)
      var done = 0
      for index in unsafe 0..<vectors.count {
        let vector = unsafe vectors.first[index]
        let count = unsafe min(vector.iov_len, max(0, state.content.count - place))
        unsafe state.content.withUnsafeBytes { bytes in
          if let source = bytes.baseAddress, let target = unsafe vector.iov_base, count > 0 { unsafe memcpy(target, source + place, count) }
        }
        done += count
        place += count
        if unsafe count < vector.iov_len { break }
      }
      return done
    }
  }

  /// Writes.
  @unsafe public func write(_ vectors: BufferVectors, at offset: UInt64) -> Int {
    state.withLock { state in
      if let code = FaultyFile.count(&state) { return -Int(code) }
      var bytes: [UInt8] = []
      for index in unsafe 0..<vectors.count {
        let vector = unsafe vectors.first[index]
        unsafe bytes += UnsafeRawBufferPointer(start: vector.iov_base, count: vector.iov_len)
      }
      guard offset <= UInt64(limit), bytes.count <= limit - Int(offset) else { return -Int(ENOSPC) }
      store(bytes, at: Int(offset), &state)
      return bytes.count
    }
  }

  private func store(_ bytes: [UInt8], at offset: Int, _ state: inout State) {
    guard !bytes.isEmpty else { return }
    let end = offset + bytes.count
    if state.content.count < end { state.content += [UInt8](repeating: 0, count: end - state.content.count) }
    state.content.replaceSubrange(offset..<end, with: bytes)
    for sector in offset / FaultyFile.sector...(end - 1) / FaultyFile.sector {
      let start = sector * FaultyFile.sector
      state.versions[sector, default: []].append(Array(state.content[start..<min(start + FaultyFile.sector, state.content.count)]))
    }
  }

  /// Counts an operation; returns an error once there were enough.
  private static func count(_ state: inout State) -> Int32? {
    if let left = state.operationsLeft {
      guard left > 0 else { return EIO }
      state.operationsLeft = left - 1
    }
    state.operations += 1
    return nil
  }

  /// Makes all that was written survive.
  public func synchronize() -> Int32 {
    state.withLock { state in
      if let code = FaultyFile.count(&state) { return code }
      state.durable = state.content
      state.versions = [:]
      return 0
    }
  }

  /// Makes the file longer.
  public func extend(to length: UInt64) -> Int32 {
    state.withLock { state in
      if let code = FaultyFile.count(&state) { return code }
      guard length <= UInt64(limit) else { return hasFixedLength ? ENOSPC : EFBIG }
      if state.content.count < Int(length) { state.content += [UInt8](repeating: 0, count: Int(length) - state.content.count) }
      return 0
    }
  }

  /// Makes zeroes.
  public func punchHole(at offset: UInt64, count: UInt64) -> Int32 {
    state.withLock { state in
      if let code = FaultyFile.count(&state) { return code }
      let end = min(UInt64(state.content.count), offset + count)
      if offset < end { store([UInt8](repeating: 0, count: Int(end - offset)), at: Int(offset), &state) }
      return 0
    }
  }
}
