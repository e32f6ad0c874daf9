import GuestMemory
import Testing

@testable import Boot

/// Each of these would end the process if a value from the file could make the loader trap.
@Suite("Damaged kernels end in errors")
struct HostileKernelTests {
  private static let kernels: [[UInt8]] = [BzImageFixture().bytes, ELFFixture.withNote([1, 0, 0x10, 0]).bytes]

  @Test("every truncation of a good kernel is refused", arguments: kernels)
  func truncations(kernel: [UInt8]) throws {
    let guest = try GuestFixture()
    for length in 0..<kernel.count {
      // A shorter ELF file may lack only the note, which only PVH needs, so ask for that.
      let entry: KernelEntry = ELFKernel.matches(kernel) ? .pvh : .automatic
      if try guest.problem(Array(kernel.prefix(length)), entry: entry) == nil {
        Issue.record("accepted \(length) of \(kernel.count) bytes")
      }
    }
  }

  @Test("any header byte may have any of the values that overflow", arguments: kernels)
  func flips(kernel: [UInt8]) throws {
    for position in 0..<min(kernel.count, 0x290) {
      for value: UInt8 in [0x00, 0x01, 0x7f, 0x80, 0xff] {
        var damaged = kernel
        damaged[position] = value
        exerciseKernelLoader(damaged)
      }
    }
  }

  @Test("any header field may be all ones", arguments: kernels)
  func fields(kernel: [UInt8]) throws {
    for position in 0..<min(kernel.count, 0x290) {
      for width in [2, 4, 8] where position + width <= kernel.count {
        var damaged = kernel
        damaged.replaceSubrange(position..<position + width, with: [UInt8](repeating: 0xff, count: width))
        exerciseKernelLoader(damaged)
      }
    }
  }
}
