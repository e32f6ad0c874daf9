internal import CLinux
internal import Synchronization

/// A way to a qcow2 image through a way to its file: what is allocated is read and written there, by the same buffers, at translated offsets,
/// several pieces of a request side by side. What needs the tables changed, a backing file or decompression is done when it is begun.
///
/// Everything that a request needs is reserved when the channel is made.
final class Qcow2Channel<Inner: DiskChannel>: DiskChannel {
  /// A request under way in the file.
  private struct Request {
    /// How many of its pieces have not ended.
    var pieces = 0
    /// The first failure.
    var code: Int32 = 0
    /// Which group of `InFlight` counts it.
    var group = false
  }

  /// The most pieces of a request that go to the file side by side.
  static var pieceLimit: Int { 16 }

  private let image: Qcow2Image
  private let inner: Inner
  private var table: TransferTable
  private var requests: [Request]
  private var ended: ReadyList
  /// The slots of the file's channel that no piece uses, and which request those belong to that one does.
  private var freePieces: [Int]
  private var owners: [Int]
  private var extents: [Qcow2Extent]
  /// What offsets and lengths in the file must be multiples of.
  private let alignmentMask: UInt64

  init(image: Qcow2Image, inner: Inner, innerDepth: Int, depth: Int, alignment: Int) throws(DiskError) {
    self.image = image
    self.inner = inner
    table = try TransferTable(depth: depth)
    requests = [Request](repeating: Request(), count: depth)
    ended = ReadyList(depth: depth)
    freePieces = Array((0..<innerDepth).reversed())
    owners = [Int](repeating: 0, count: innerDepth)
    extents = [Qcow2Extent](repeating: Qcow2Extent(), count: Qcow2Channel.pieceLimit)
    alignmentMask = UInt64(alignment - 1)
  }

  var bufferLimit: Int { TransferTable.bufferLimit }
  func watch(_ descriptor: Int32) throws(DiskError) { try inner.watch(descriptor) }
  func start() throws(DiskError) { try inner.start() }
  func clear(slot: Int) { table.clear(slot) }

  @unsafe func addBuffer(_ start: UnsafeMutableRawPointer, count: Int, slot: Int) -> Bool {
    unsafe table.add(start, count: count, slot: slot)
  }

  func begin(_ operation: DiskOperation, slot: Int, offset: UInt64, count: UInt64, isDurable: Bool) {
    if let code = table.set(slot, operation, image, offset: offset, count: count, isDurable: isDurable) {
      ended.append(slot: slot, code: code)
      return
    }
    switch operation {
    case .read: beginTransfer(slot, isWrite: false)
    case .write: beginTransfer(slot, isWrite: true)
    case .flush: beginFlush(slot)
    case .discard: ended.append(slot: slot, code: settled(image.discard(offset: offset, count: count), isDurable))
    case .writeZeroes(let mayDiscard):
      ended.append(slot: slot, code: settled(image.writeZeroes(offset: offset, count: count, mayDiscard: mayDiscard), isDurable))
    }
  }

  private func settled(_ code: Int32, _ isDurable: Bool) -> Int32 { code == 0 && isDurable ? image.flush() : code }

  // MARK: Reads and writes

  private func beginTransfer(_ slot: Int, isWrite: Bool) {
    let transfer = table.transfers[slot]
    let plan = image.plan(
      isWrite: isWrite, offset: transfer.offset, count: transfer.remaining, isDurable: transfer.isDurable, into: &extents,
      limit: min(freePieces.count, Qcow2Channel.pieceLimit), alignmentMask: alignmentMask)
    guard plan.count > 0 else {
      ended.append(slot: slot, code: table.transferAll(slot, isWrite: isWrite, disk: image))
      return
    }
    requests[slot] = Request(pieces: 0, code: 0, group: plan.group)
    if plan.count == 1, extents[0].kind == .data {
      requests[slot].pieces = 1
      unsafe beginPiece(slot, isWrite, table.vectors(slot), host: extents[0].host, count: transfer.remaining, transfer.isDurable)
      return
    }
    // What comes from the file goes to the kernel first; the rest is done meanwhile.
    for isData in [true, false] { unsafe beginPieces(slot, isWrite, plan.count, ofData: isData) }
    guard requests[slot].pieces == 0 else { return }
    image.inFlight.leave(plan.group)
    ended.append(slot: slot, code: requests[slot].code)
  }

  /// A slot of the file's channel, empty. There is one: `beginTransfer` lets a plan have no more pieces than are free.
  private func takePiece(for slot: Int) -> Int {
    guard let piece = freePieces.popLast() else { preconditionFailure("the plan has no more pieces than are free") }
    owners[piece] = slot
    inner.clear(slot: piece)
    return piece
  }

  /// Begins the pieces of a request that are in the file, or does those that are not.
  @unsafe private func beginPieces(_ slot: Int, _ isWrite: Bool, _ count: Int, ofData: Bool) {
    let transfer = table.transfers[slot]
    var place = unsafe VectorCursor(table.vectors(slot))
    var offset = transfer.offset
    for index in 0..<count {
      let extent = extents[index]
      if ofData != (extent.kind == .data) {
        unsafe place.skip(Int(extent.count))
      } else if ofData {
        let piece = takePiece(for: slot)
        requests[slot].pieces += 1
        unsafe place.move(Int(extent.count)) { start, _, length in _ = unsafe inner.addBuffer(start, count: length, slot: piece) }
        inner.begin(isWrite ? .write : .read, slot: piece, offset: extent.host, count: extent.count, isDurable: transfer.isDurable)
      } else if let code = unsafe readElsewhere(extent, &place, offset: offset) {
        requests[slot].code = code
        return
      }
      offset += extent.count
    }
  }

  /// Reads what is not simply in the file.
  ///
  /// - Returns: An `errno`, or nil.
  @unsafe private func readElsewhere(_ extent: Qcow2Extent, _ place: inout VectorCursor, offset: UInt64) -> Int32? {
    var extent = extent
    var offset = offset
    while extent.count > 0 {
      let part = extent
      let result = unsafe place.rest { rest in
        unsafe rest.withPrefix(Int(part.count)) { vectors -> Result<UInt64, DiskFailure> in
          do throws(DiskFailure) { return .success(unsafe try image.read(part, into: vectors, offset: offset)) } catch {
            return .failure(error)
          }
        }
      }
      switch result {
      case .failure(let error): return error.code
      case .success(let done):
        unsafe place.skip(Int(done))
        offset += done
        extent.count -= done
      }
    }
    return nil
  }

  @unsafe private func beginPiece(
    _ slot: Int, _ isWrite: Bool, _ vectors: BufferVectors, host: UInt64, count: UInt64, _ isDurable: Bool
  ) {
    let piece = takePiece(for: slot)
    for index in unsafe 0..<vectors.count {
      let buffer = unsafe vectors.first[index]
      guard let base = unsafe buffer.iov_base else { continue }
      _ = unsafe inner.addBuffer(base, count: buffer.iov_len, slot: piece)
    }
    inner.begin(isWrite ? .write : .read, slot: piece, offset: host, count: count, isDurable: isDurable)
  }

  private func beginFlush(_ slot: Int) {
    // Tables first, and in order, which waits; without any the file's own flush is all there is to do.
    guard !image.needsOrderedFlush, let piece = freePieces.popLast() else {
      ended.append(slot: slot, code: image.flush())
      return
    }
    requests[slot] = Request(pieces: 1, code: 0, group: image.enter())
    owners[piece] = slot
    inner.begin(.flush, slot: piece, offset: 0, count: 0, isDurable: false)
  }

  // MARK: Ends

  var hasEnded: Bool { ended.count > 0 || inner.hasEnded }
  var endsSoon: Bool { inner.endsSoon }

  func next() -> DiskEvent? {
    if let event = ended.takeFirst() { return event }
    while let event = inner.next() {
      guard case .ended(let piece, let code) = event else { return event }
      let slot = owners[piece]
      freePieces.append(piece)
      requests[slot].pieces -= 1
      if code != 0, requests[slot].code == 0 { requests[slot].code = code }
      if requests[slot].pieces > 0 { continue }
      image.inFlight.leave(requests[slot].group)
      return .ended(slot: slot, code: requests[slot].code)
    }
    return nil
  }

  func wait(mayBlock: Bool) throws(DiskError) { try inner.wait(mayBlock: mayBlock && ended.count == 0) }

  func end() {
    inner.end()
    for slot in requests.indices where requests[slot].pieces > 0 {
      requests[slot].pieces = 0
      image.inFlight.leave(requests[slot].group)
    }
    ended.removeAll()
  }
}

extension Qcow2Image {
  /// How a request goes to the file: in so many pieces, or not at all.
  struct Plan {
    var count = 0
    var group = false
  }

  /// Finds the pieces that a request consists of; then it is counted as in flight. None where it has too many, or where anything must be
  /// allocated first.
  ///
  /// - Parameter extents: Gets the pieces, `limit` of them at the most.
  @inline(__always)
  func plan(
    isWrite: Bool, offset: UInt64, count: UInt64, isDurable: Bool, into extents: inout [Qcow2Extent], limit: Int, alignmentMask: UInt64
  ) -> Plan {
    guard limit > 0 else { return Plan() }
    return engine.withLock { engine in
      // Where the tables have changes, a durable write is also a flush of those.
      if isWrite, engine.damage != nil || engine.header.mustClearFeatures || isDurable && engine.hasDirtyTables { return Plan() }
      var done: UInt64 = 0
      var number = 0
      while done < count {
        guard number < limit, number < extents.count else { return Plan() }
        // What fails here fails again where it is done step by step, and is reported there.
        guard
          let extent = isWrite
            ? (try? engine.mapForWriting(offset + done, atMost: count - done)) ?? nil
            : try? engine.map(offset + done, atMost: count - done)
        else { return Plan() }
        if extent.kind == .data {
          guard (extent.host | extent.count) & alignmentMask == 0 else { return Plan() }
          // A read must not meet the file's end, nor a request wander beyond it.
          guard extent.count <= engine.fileEnd, extent.host <= engine.fileEnd - extent.count else { return Plan() }
        }
        extents[number] = extent
        number += 1
        done += extent.count
      }
      return Plan(count: number, group: inFlight.enter(engine.epoch))
    }
  }

  /// Whether a flush has tables to write.
  var needsOrderedFlush: Bool { engine.withLock { $0.hasDirtyTables } }

  /// Counts a request as in flight.
  func enter() -> Bool { engine.withLock { inFlight.enter($0.epoch) } }
}
