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
    guard let loaded = try? KernelLoader(file: kernel, map: exercise.map, memory: exercise.memory).load(entry: entry) else { continue }
    _ = try? loadInitramfs(kernel, into: loaded.freeMemory, of: exercise.memory)
    _ = BootParameters(setupHeader: loaded.setupHeader, e820: exercise.map.e820).bytes
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
