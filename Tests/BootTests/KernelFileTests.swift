import Glibc
import GuestMemory
import Platform
import Testing

@testable import Boot

@Suite("Files that are no kernels")
struct KernelFileTests {
  let guest: GuestFixture

  init() throws { guest = try GuestFixture() }

  private func refusal(_ path: String) throws -> KernelProblem? {
    let number = try OwnedDescriptor.open(path, flags: 0).release()
    defer { close(number) }
    let boot = KernelBoot(kernel: BootFile(descriptor: number, name: path))
    do {
      _ = try prepareKernelBoot(boot, board: guest.board, map: guest.map, memory: guest.memory)
      return nil
    } catch BootError.kernel(file: path, let problem) { return problem }
  }

  @Test("an empty file, a directory and a device are refused as what they are")
  func kinds() throws {
    #expect(try guest.problem([]) == .file(.empty))
    #expect(try refusal("/") == .file(.directory))
    #expect(try refusal("/dev/null") == .file(.notRegular))
  }

  @Test("a closed descriptor is an error of the system")
  func closed() {
    let boot = KernelBoot(kernel: BootFile(descriptor: -1, name: "vmlinux"))
    #expect(throws: BootError.kernel(file: "vmlinux", .file(.system(SystemError("examine the file", code: 9))))) {
      try prepareKernelBoot(boot, board: guest.board, map: guest.map, memory: guest.memory)
    }
  }

  @Test(
    "what a file is instead is said where its beginning tells",
    arguments: [
      ([0x1f, 0x8b, 8, 0], "compressed with gzip"), ([0x28, 0xb5, 0x2f, 0xfd], "compressed with zstd"),
      (Array("070701".utf8), "an initramfs (a cpio archive)"), (Array("MZ".utf8), "an EFI program without Linux's boot header"),
      ([1, 2, 3, 4], nil),
    ] as [([UInt8], String?)])
  func guesses(start: [UInt8], kind: String?) throws {
    let file = start + [UInt8](repeating: 0, count: 4096 - start.count)
    #expect(try guest.problem(file) == .unrecognized(kind: kind, firstBytes: Array(file.prefix(4))))
  }

  @Test("an arm64 kernel is refused as such")
  func arm64() throws {
    var file = ImageBytes(count: 4096)
    file.set(bytes: Array("MZ".utf8), at: 0)
    file.set(bytes: Array("ARMd".utf8), at: 0x38)
    #expect(try guest.problem(file.bytes) == .unrecognized(kind: "a kernel for arm64", firstBytes: [0x4d, 0x5a, 0, 0]))
  }

  @Test("messages name the file, the value and the remedy")
  func messages() {
    func message(_ problem: KernelProblem) -> String { BootError.kernel(file: "/boot/k", problem).description }
    #expect(message(.file(.empty)) == "the kernel \"/boot/k\" is empty; give a bzImage or an ELF vmlinux")
    #expect(message(.oldProtocol(version: 0x20b)).contains("2.11"))
    #expect(
      message(.doesNotFit(start: 0x100_0000, end: 0x400_0001, ramEnd: 0x200_0000)).contains(
        "up to 65 MiB, and the guest has 32; give it more (--mem)"))
    #expect(message(.segment(3, .wraps(address: 1, size: .max))).contains("program header 3: 18446744073709551615 bytes at 0x1"))
    #expect(message(.unrecognized(kind: nil, firstBytes: [1, 2])).contains("0x1 0x2"))
    #expect(BootError.initramfs(file: "i", .tooLarge(bytes: 5, space: 3, ram: 9)).description.contains("5 bytes"))
  }

  @Test("a file that becomes shorter after its headers were read is refused by name")
  func shrinks() throws {
    let file = try FileFixture([1, 2, 3], name: "initramfs.img")
    let part = KernelPlan.Part(fileOffset: 0, size: 4, address: 0x10_0000)
    #expect(throws: BootError.initramfs(file: "initramfs.img", .file(.shrank))) {
      try file.bootFile.copy(part, into: guest.memory) { .initramfs(file: file.name, .file($0)) }
    }
  }
}
