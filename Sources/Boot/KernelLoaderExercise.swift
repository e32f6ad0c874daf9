internal import Glibc
internal import GuestMemory
internal import Platform

/// Feeds bytes to everything that reads kernel files, for fuzzers and tests: nothing may trap, whatever the bytes are.
package func exerciseKernelLoader(_ bytes: [UInt8]) {
  // An error is as good as success, here and below.
  _ = try? PVHNote.entry(in: bytes)
  guard let exercise = KernelLoaderExercise.shared, let file = try? MemoryFile(name: "kernel", size: bytes.count) else { return }
  guard unsafe pwrite(file.number, bytes, bytes.count, 0) == bytes.count else { return }
  let kernel = BootFile(descriptor: file.number, name: "kernel")
  for entry in KernelEntry.allCases {
    guard let plan = try? KernelLoader(file: kernel, map: exercise.map).plan(entry: entry) else { continue }
    for part in plan.parts { try? kernel.copy(part, into: exercise.memory) { .kernel(file: kernel.name, .file($0)) } }
    _ = try? loadInitramfs(kernel, into: plan.freeMemory, of: exercise.memory)
    _ = BootParameters(setupHeader: plan.setupHeader, e820: exercise.map.e820).bytes
  }
}

/// A small guest that all turns share: its memory need not be fresh, because nothing reads it.
private struct KernelLoaderExercise {
  let map: X86AddressMap
  let memory: GuestMemory

  static let shared = try? KernelLoaderExercise()

  init() throws {
    map = try X86AddressMap(ramSize: 4 << 20, physicalAddressBits: 36)
    memory = try GuestMemory(regions: map.ramRegions)
  }
}
