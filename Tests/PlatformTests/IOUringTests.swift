import CLinux
import Glibc
import Testing

@testable import Platform

/// Whether this host lets programs use io_uring; some containers do not.
private let hasIOUring = (try? IOUring(depth: 8)) != nil

@Suite(.enabled(if: hasIOUring)) struct IOUringTests {
  /// A file of 64 KiB with a known content.
  private func file() throws -> OwnedDescriptor {
    let file = OwnedDescriptor(owning: unsafe memfd_create("ring", 1))
    let bytes = (0..<65536).map { UInt8(truncatingIfNeeded: $0 / 512) }
    #expect(unsafe write(file.number, bytes, bytes.count) == bytes.count)
    return file
  }

  private func wait(_ ring: IOUring) throws -> IOUring.Completion {
    while true {
      if let completion = ring.next() { return completion }
      try ring.submit(waitingFor: 1)
    }
  }

  @Test("Every mode that the kernel offers reads and writes", arguments: IOUring.Mode.allCases)
  func transfers(mode: IOUring.Mode) throws {
    guard let ring = try? IOUring(depth: 8, modes: [mode]) else { return }
    #expect(ring.mode == mode)
    let file = try file()
    try ring.start(buffers: nil)
    let memory = try MemoryMapping.anonymous(count: 8192)
    var vectors = unsafe [iovec(iov_base: memory.base, iov_len: 100), iovec(iov_base: memory.base + 100, iov_len: 924)]
    for _ in 0..<2 {
      try unsafe ring.transfer(isWrite: false, file: file.number, vectors: &vectors, count: 2, offset: 512, token: 5)
      let completion = try wait(ring)
      #expect(completion.token == 5 && completion.result == 1024 && !completion.continues)
      unsafe #expect(memory.base.load(fromByteOffset: 0, as: UInt8.self) == 1)
      unsafe #expect(memory.base.load(fromByteOffset: 1023, as: UInt8.self) == 2)
    }
    try unsafe ring.transfer(isWrite: true, file: file.number, vectors: &vectors, count: 1, offset: 0, isDurable: true, token: 6)
    #expect(try wait(ring).result == 100)
    try ring.synchronizeData(file.number, token: 7)
    #expect(try wait(ring).result == 0)
    try ring.allocate(file.number, mode: Int32(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE), offset: 0, count: 4096, token: 8)
    #expect(try wait(ring).result == 0)
    #expect(ring.inFlight == 0)
  }

  @Test("More requests than the queue holds all complete", arguments: IOUring.Mode.allCases)
  func moreThanFits(mode: IOUring.Mode) throws {
    guard let ring = try? IOUring(depth: 300, modes: [mode]) else { return }
    try ring.start(buffers: nil)
    let file = try file()
    let memory = try MemoryMapping.anonymous(count: 4096)
    var vector = unsafe iovec(iov_base: memory.base, iov_len: 512)
    var ended = Set<UInt64>()
    for token in 0..<UInt64(300) {
      try unsafe ring.transfer(isWrite: false, file: file.number, vectors: &vector, count: 1, offset: 0, token: token)
    }
    while ended.count < 300 { ended.insert(try wait(ring).token) }
    #expect(ring.inFlight == 0)
  }

  @Test("A closed descriptor is an error of the request, not of the ring") func closedDescriptor() throws {
    let ring = try IOUring(depth: 8)
    try ring.start(buffers: nil)
    try ring.synchronizeData(-1, token: 1)
    #expect(try wait(ring).result == -EBADF)
  }

  @Test("A poll goes on until it is cancelled") func pollAndCancel() throws {
    let ring = try IOUring(depth: 8)
    try ring.start(buffers: nil)
    let event = try EventFD()
    try ring.pollReadable(event.number, token: 9)
    for _ in 0..<5 {
      event.signal()
      let completion = try wait(ring)
      #expect(completion.token == 9 && completion.result > 0 && completion.continues)
    }
    try ring.cancel(9, token: 10)
    let ends = [try wait(ring), try wait(ring)]
    #expect(Set(ends.map(\.token)) == [9, 10])
    #expect(ring.inFlight == 0)
  }

  @Test("The owner of the buffers lives until the last request has ended") func buffersOutliveRequests() throws {
    final class Owner: Sendable {
      let memory: MemoryMapping
      init() throws { memory = try .anonymous(count: 4096) }
    }
    var pipe: [Int32] = [0, 0]
    unsafe #expect(Glibc.pipe(&pipe) == 0)
    let reading = OwnedDescriptor(owning: pipe[0])
    let writing = OwnedDescriptor(owning: pipe[1])
    weak var remembered: Owner?
    do {
      let owner = try Owner()
      remembered = owner
      let ring = try IOUring(depth: 8)
      try ring.start(buffers: owner)
      var vector = unsafe iovec(iov_base: owner.memory.base, iov_len: 16)
      // A read that nobody will ever answer.
      try unsafe ring.transfer(isWrite: false, file: reading.number, vectors: &vector, count: 1, offset: 0, token: 1)
      try ring.submit()
      #expect(ring.inFlight == 1)
      #expect(remembered != nil)
      #expect(ring.endAll())
      #expect(ring.inFlight == 0)
    }
    #expect(remembered == nil)
    _ = writing.number
  }

  @Test("A ring takes nothing but what it was made for") func restrictions() throws {
    let ring = try IOUring(depth: 8)
    try ring.start(buffers: nil)
    // A request of the kernel's that this program never makes: a socket (IORING_OP_SOCKET).
    var request = io_uring_sqe()
    request.opcode = UInt8(truncatingIfNeeded: IORING_OP_SOCKET.rawValue)
    request.fd = AF_UNIX
    request.off = UInt64(SOCK_STREAM.rawValue)
    request.user_data = 3
    try ring.queue(request)
    let completion = try wait(ring)
    #expect(completion.token == 3 && completion.result == -EACCES)
  }

  @Test("A ring that was ended serves its thread again") func startedAgain() throws {
    let ring = try IOUring(depth: 8, modes: [.deferred])
    let event = try EventFD()
    for _ in 0..<100 {
      try ring.start(buffers: nil)
      #expect(!ring.isAtRest)
      #expect(throws: SystemError.self) { try ring.start(buffers: nil) }
      try ring.pollReadable(event.number, token: 1)
      try ring.submit()
      #expect(ring.endAll())
      #expect(ring.isAtRest && ring.next() == nil)
    }
  }
}
