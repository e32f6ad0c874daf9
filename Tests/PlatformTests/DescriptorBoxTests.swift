import Glibc
import Platform
import Synchronization
import Testing

@Suite struct DescriptorBoxTests {
  @Test func aBoxLendsItsDescriptor() throws {
    let pipe = try TestPipe()
    let box = DescriptorBox(try pipe.writeEnd.duplicate())
    #expect(unsafe write(box.number, "a", 1) == 1)
    #expect(pipe.readAvailable() == [0x61])
  }

  @Test func aDescriptorIsTakenOnce() throws {
    let pipe = try TestPipe()
    let box = DescriptorBox(try pipe.writeEnd.duplicate())
    let number = box.number
    let taken = box.take()?.release() ?? -1
    let isTakenAgain = box.take() != nil
    #expect(taken == number && box.number == -1 && !isTakenAgain)
    // Whoever took it has it open still.
    let owned = OwnedDescriptor(owning: taken)
    #expect(unsafe write(taken, "a", 1) == 1)
    _ = consume owned
  }

  @Test func whatIsLeftClosesWithTheBox() throws {
    var ends: [Int32] = [0, 0]
    try #require(unsafe pipe(&ends) == 0)
    let readEnd = OwnedDescriptor(owning: ends[0])
    do {
      let box = DescriptorBox(OwnedDescriptor(owning: ends[1]))
      #expect(box.number == ends[1])
    }
    #expect(readSome(readEnd.number) == nil)
  }

  @Test func whatWasTakenOutlivesTheBox() throws {
    let pipe = try TestPipe()
    let taken = DescriptorBox(try pipe.writeEnd.duplicate()).take()?.release() ?? -1
    let owned = OwnedDescriptor(owning: taken)
    #expect(unsafe write(taken, "a", 1) == 1)
    #expect(pipe.readAvailable() == [0x61])
    _ = consume owned
  }

  @Test func ofManyThreadsOneGetsIt() throws {
    for _ in 0..<20 {
      let box = DescriptorBox(try OwnedDescriptor.open("/dev/null", flags: O_RDONLY))
      let taken = Atomic(0)
      let threads = try (0..<4).map { number in
        try PThread(name: "taker\(number)") { if box.take() != nil { taken.add(1, ordering: .relaxed) } }
      }
      for thread in threads { thread.join() }
      #expect(taken.load(ordering: .relaxed) == 1)
    }
  }
}
