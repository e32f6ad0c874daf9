import GuestMemory
import Testing

@testable import Boot

@Suite("The initramfs")
struct InitramfsTests {
  let guest: GuestFixture

  init() throws { guest = try GuestFixture() }

  private func place(_ kernel: BzImageFixture, size: Int, in guest: GuestFixture) throws -> UInt64 {
    _ = try guest.prepare(kernel.bytes, initramfs: [UInt8](repeating: 0x5a, count: size))
    return UInt64(try guest.memory.load(GuestAddress(0x7218), as: UInt32.self))
  }

  @Test("it lies as high as RAM allows, on a page boundary, with all its bytes")
  func top() throws {
    let address = try place(BzImageFixture(), size: 4097, in: guest)
    #expect(address == 0x3f_e000)
    #expect(try guest.bytes(4097, at: address).allSatisfy { $0 == 0x5a })
    #expect(try guest.bytes(1, at: address + 4097) == [0])
  }

  @Test("it stays at or below the highest address that the kernel accepts")
  func kernelLimit() throws {
    var kernel = BzImageFixture()
    kernel.initramfsMaximum = 0x2f_ffff
    #expect(try place(kernel, size: 4096, in: guest) == 0x2f_f000)
    kernel.initramfsMaximum = .max
    #expect(try place(kernel, size: 4096, in: guest) == 0x3f_f000)
  }

  @Test("where there is RAM above 4 GiB, it lies below the hole all the same")
  func hole() throws {
    let guest = try GuestFixture(ramSize: 5 << 30)
    #expect(try place(BzImageFixture(), size: 4096, in: guest) == 0x7fff_f000)
  }

  @Test("one that exactly fills what the kernel leaves free fits; a byte more does not, and the message has both sizes")
  func tooLarge() throws {
    let free = (4 << 20) - 0x10_1000
    #expect(try place(BzImageFixture(), size: free, in: guest) == 0x10_1000)
    let refusal = InitramfsProblem.tooLarge(bytes: UInt64(free + 1), space: UInt64(free), ram: 4 << 20)
    #expect(throws: BootError.initramfs(file: "initramfs.img", refusal)) { try place(BzImageFixture(), size: free + 1, in: guest) }
    #expect(
      refusal.description
        == "is \(free + 1) bytes, and of the guest's 4194304 bytes of RAM \(free) are free for it; give the guest more memory")
  }

  @Test("a kernel that accepts no address above itself leaves no room")
  func noRoom() throws {
    var kernel = BzImageFixture()
    kernel.initramfsMaximum = 0
    let refusal = BootError.initramfs(file: "initramfs.img", .tooLarge(bytes: 1, space: 0, ram: 4 << 20))
    #expect(throws: refusal) { try place(kernel, size: 1, in: guest) }
  }

  @Test("an empty one is refused")
  func empty() throws {
    #expect(throws: BootError.initramfs(file: "initramfs.img", .file(.empty))) { try place(BzImageFixture(), size: 0, in: guest) }
  }
}
