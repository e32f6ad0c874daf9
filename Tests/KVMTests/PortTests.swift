import CLinux
import KVM
import Testing

/// Port exits of every width, single and repeated.
@Suite(.needsKVM) struct PortTests {
  @Test func storesArriveWithTheirWidthAndValue() throws {
    let guest = try TestGuest(
      code(
        [0xb0, 0x11],  // mov al, 0x11
        [0xe6, 0x10],  // out 0x10, al
        [0xb8, 0x11, 0x22],  // mov ax, 0x2211
        [0xe7, 0x10],  // out 0x10, ax
        [0x66, 0xb8, 0x11, 0x22, 0x33, 0x44],  // mov eax, 0x44332211
        [0x66, 0xe7, 0x10],  // out 0x10, eax
        [0xba, 0xf0, 0xff],  // mov dx, 0xfff0
        [0xee],  // out dx, al
        [0xe6, 0xf4]  // out 0xf4, al
      ))
    #expect(
      try guest.run() == [
        .out(port: 0x10, width: 1, [0x11]), .out(port: 0x10, width: 2, [0x2211]), .out(port: 0x10, width: 4, [0x4433_2211]),
        .out(port: 0xfff0, width: 1, [0x11]),
      ])
  }

  @Test func loadsGetTheAnswerCutToTheirWidth() throws {
    let guest = try TestGuest(
      code(
        [0xe4, 0x10],  // in al, 0x10
        [0xa2, 0x00, 0x30],  // mov [0x3000], al
        [0xe5, 0x10],  // in ax, 0x10
        [0xa3, 0x10, 0x30],  // mov [0x3010], ax
        [0x66, 0xe5, 0x10],  // in eax, 0x10
        [0x66, 0xa3, 0x20, 0x30],  // mov [0x3020], eax
        [0xe6, 0xf4]  // out 0xf4, al
      ))
    let seen = try guest.run { _ in .answer(0x8877_6655_4433_2211) }
    #expect(
      seen == [.input(port: 0x10, width: 1, count: 1), .input(port: 0x10, width: 2, count: 1), .input(port: 0x10, width: 4, count: 1)])
    #expect(try guest.memory.load(0x3000, as: UInt64.self) == 0x11)
    #expect(try guest.memory.load(0x3010, as: UInt64.self) == 0x2211)
    #expect(try guest.memory.load(0x3020, as: UInt64.self) == 0x4433_2211)
  }

  /// The kernel may hand over the elements one by one or together; what counts is that all arrive, in order.
  @Test func aRepeatedStoreDeliversEveryElement() throws {
    let guest = try TestGuest(
      code(
        [0xbe, 0x00, 0x30],  // mov si, 0x3000
        [0xb9, 0x05, 0x00],  // mov cx, 5
        [0xba, 0x10, 0x00],  // mov dx, 0x10
        [0xfc],  // cld
        [0xf3, 0x6e],  // rep outsb
        [0xb9, 0x03, 0x00],  // mov cx, 3
        [0xf3, 0x6f],  // rep outsw
        [0xe6, 0xf4]  // out 0xf4, al
      ))
    try guest.memory.write((1...11).map { UInt8($0) }, at: 0x3000)
    var bytes: [UInt64] = []
    var words: [UInt64] = []
    for seen in try guest.run() {
      switch seen {
      case .out(port: 0x10, width: 1, let values): bytes += values
      case .out(port: 0x10, width: 2, let values): words += values
      default: Issue.record("\(seen)")
      }
    }
    #expect(bytes == [1, 2, 3, 4, 5])
    #expect(words == [0x0706, 0x0908, 0x0b0a])
  }

  /// Here the kernel does hand over several elements at once: it reads ahead.
  @Test func aRepeatedLoadIsAnsweredWithSeveralElementsAtOnce() throws {
    let guest = try TestGuest(
      code(
        [0xbf, 0x00, 0x30],  // mov di, 0x3000
        [0xb9, 0x04, 0x00],  // mov cx, 4
        [0xba, 0x10, 0x00],  // mov dx, 0x10
        [0xfc],  // cld
        [0xf3, 0x6d],  // rep insw
        [0xe6, 0xf4]  // out 0xf4, al
      ))
    let seen = try guest.run { _ in .answer(0x0a01) }
    #expect(seen == [.input(port: 0x10, width: 2, count: 4)])
    #expect(try guest.memory.read(count: 9, at: 0x3000) == [0x01, 0x0a, 0x02, 0x0a, 0x03, 0x0a, 0x04, 0x0a, 0x00])
  }

  @Test(arguments: [(-1, 1), (0, 0), (0, -1), (1 << 40, 4), (.max, 8), (.min, 8), (3, .max)])
  func anElementThatIsNotInTheExitIsZeroAndCannotBeSet(index: Int, width: Int) throws {
    let guest = try TestGuest(code([0xe4, 0x10], [0xe6, 0xf4]))  // in al, 0x10; out 0xf4, al
    try guest.run { [processor = guest.processor] _ in
      processor.setPortData(index, width: width, value: .max)
      return processor.portData(index, width: width) == 0 ? .answer(1) : .end
    }
    #expect(try guest.processor.registers().rax & 0xff == 1)
  }
}
