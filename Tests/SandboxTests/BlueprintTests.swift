import BasicDevices
import BlockDevice
import CLinux
import Glibc
import NetDevice
import Platform
import Testing
import Virtio
import VirtioTesting

@testable import Sandbox

@Suite struct BlueprintTests {
  /// What another process would get: copies of the descriptors.
  private func copies(_ blueprint: some DeviceBlueprint) throws -> [DescriptorBox] {
    try blueprint.descriptors.map { DescriptorBox(try OwnedDescriptor.duplicate($0)) }
  }

  private func encoded(_ blueprint: some DeviceBlueprint) -> [UInt8] {
    var writer = ByteWriter()
    blueprint.encode(to: &writer)
    return writer.bytes
  }

  private func read<Blueprint: DeviceBlueprint>(_ bytes: [UInt8], _ descriptors: [DescriptorBox], as type: Blueprint.Type) throws
    -> Blueprint
  {
    var reader = ByteReader(bytes)
    // As many rings as the largest disk has queues; the kernel may have none.
    let rings = (0..<16).map { _ in Handover<IOUring>(nil) }
    let blueprint = try Blueprint(from: &reader, descriptors: DescriptorList(descriptors, rings: rings))
    try reader.finish()
    return blueprint
  }

  /// Sends a blueprint to and fro, and tries all that could be wrong with it on the way.
  private func check<Blueprint: DeviceBlueprint>(_ blueprint: Blueprint, descriptors count: Int) throws {
    let bytes = encoded(blueprint)
    #expect(blueprint.descriptors.count == count && blueprint.descriptors.allSatisfy { $0 >= 0 })
    let copy = try read(bytes, copies(blueprint), as: Blueprint.self)
    #expect(encoded(copy) == bytes && copy.descriptors.count == count)
    for length in 0..<bytes.count {
      #expect(throws: MalformedBytes.self) { try read(Array(bytes.prefix(length)), copies(blueprint), as: Blueprint.self) }
    }
    #expect(throws: MalformedBytes.self) { try read(bytes + [0], copies(blueprint), as: Blueprint.self) }
    for present in 0..<count {
      #expect(throws: MalformedBytes.self) { try read(bytes, Array(copies(blueprint).prefix(present)), as: Blueprint.self) }
    }
    var generator = SplitMix(state: 7)
    for round in 0..<300 {
      var wrong = bytes
      if !wrong.isEmpty { wrong[Int.random(in: 0..<wrong.count, using: &generator)] = .random(in: .min ... .max, using: &generator) }
      _ = try? read(wrong, copies(blueprint), as: Blueprint.self)
      _ = try? read(randomBytes(round % 64, using: &generator), copies(blueprint), as: Blueprint.self)
    }
  }

  private func withImage(_ body: (String) throws -> Void) throws {
    var template = Array("/tmp/crosvm-test-XXXXXX".utf8CString)
    let number = unsafe mkstemp(&template)
    try #require(number >= 0)
    let file = OwnedDescriptor(owning: number)
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { _ = unsafe unlink(path) }
    #expect(ftruncate(file.number, 1 << 20) == 0)
    try body(path)
  }

  @Test func aDiskGoesToAnotherProcess() throws {
    try withImage { path in
      var configuration = BlockConfiguration(path: path)
      try check(try BlockBlueprint(configuration), descriptors: 1)
      configuration.isReadOnly = true
      configuration.isSparse = false
      configuration.blockSize = 4096
      configuration.id = "serial"
      configuration.queueCount = 4
      configuration.queueSize = 1024
      configuration.usesPackedQueue = true
      configuration.cacheSize = 64 << 20
      let blueprint = try BlockBlueprint(configuration)
      try check(blueprint, descriptors: 1)
      let device = try read(encoded(blueprint), copies(blueprint), as: BlockBlueprint.self).build(logger: silent)
      let original = try blueprint.build(logger: silent)
      #expect(device.type == .block && device.queueSizes == [1024, 1024, 1024, 1024] && device.features == original.features)
      // The size in sectors (virtio 1.2, section 5.2.4).
      #expect(device.readConfiguration(offset: 0, width: 8) == (1 << 20) / 512)
    }
  }

  @Test func persistentMemoryGoesToAnotherProcess() throws {
    try withImage { path in
      let image = try PmemImage(PmemConfiguration(path: path))
      let blueprint = PmemBlueprint(image, at: 0x1_0000_0000..<0x1_0020_0000)
      try check(blueprint, descriptors: 1)
      let device = try read(encoded(blueprint), copies(blueprint), as: PmemBlueprint.self).build(logger: silent)
      #expect(device.type == .pmem && device.readConfiguration(offset: 0, width: 8) == 0x1_0000_0000)
      #expect(device.readConfiguration(offset: 8, width: 8) == 0x20_0000)
    }
  }

  /// What a network card's blueprint writes, made by hand, for a tap needs privileges.
  private func networkCard(mac: UInt64 = 0x02_00_00_00_00_01, mtu: UInt16 = 9000, offloads: UInt32 = 0x1f, pairs: UInt8) -> [UInt8] {
    var writer = ByteWriter()
    writer.put(mac)
    writer.put(mtu)
    writer.put(RateLimits.Rate(perSecond: 1000))
    writer.put(nil as RateLimits.Rate?)
    writer.put(offloads)
    writer.put(pairs)
    return writer.bytes
  }

  private func ends(_ count: Int) throws -> [DescriptorBox] {
    try (0..<count).map { _ in DescriptorBox(try OwnedDescriptor.open("/dev/null", flags: O_RDWR)) }
  }

  @Test func aNetworkCardGoesToAnotherProcess() throws {
    let blueprint = try read(networkCard(pairs: 2), try ends(2), as: NetBlueprint.self)
    try check(blueprint, descriptors: 2)
    let device = try blueprint.build(logger: silent)
    #expect(device.type == .net && device.queueSizes == [256, 256, 256, 256, 64])
    #expect(device.readConfiguration(offset: 0, width: 6) == 0x01_00_00_00_00_02 && device.readConfiguration(offset: 10, width: 2) == 9000)
    let offloads = NetFeatures.hostTSO4 | NetFeatures.guestTSO6 | NetFeatures.hostUFO | NetFeatures.mtu | NetFeatures.multipleQueues
    #expect(device.features & offloads == offloads && device.features & NetFeatures.hostUSO == 0)
    for pairs in [0, 17, 255] as [UInt8] {
      #expect(throws: MalformedBytes.self) { try read(networkCard(pairs: pairs), try ends(20), as: NetBlueprint.self) }
    }
    let plain = try read(networkCard(mtu: 67, offloads: 0, pairs: 1), try ends(1), as: NetBlueprint.self).build(logger: silent)
    #expect(plain.features & (NetFeatures.mtu | NetFeatures.checksum | NetFeatures.guestChecksum | NetFeatures.multipleQueues) == 0)
  }

  @Test func aDescriptorIsTakenOnce() throws {
    try withImage { path in
      let blueprint = try BlockBlueprint(BlockConfiguration(path: path, isReadOnly: true))
      let boxes = try copies(blueprint)
      _ = try read(encoded(blueprint), boxes, as: BlockBlueprint.self)
      #expect(boxes[0].number == -1)
      #expect(throws: MalformedBytes.self) { try read(encoded(blueprint), boxes, as: BlockBlueprint.self) }
    }
  }

  @Test(arguments: [0, 1, 1000, .max] as [UInt64]) func anEntropySourceGoesToAnotherProcess(_ rate: UInt64) throws {
    try check(EntropyBlueprint(EntropyConfiguration(bytesPerSecond: rate)), descriptors: 0)
  }

  @Test func aBalloonGoesToAnotherProcess() throws {
    let blueprint = BalloonBlueprint()
    try check(blueprint, descriptors: 0)
    #expect(encoded(blueprint).isEmpty && BalloonBlueprint.kind == "balloon")
  }

  private func target() throws -> OutputTarget { OutputTarget(descriptor: try OwnedDescriptor.open("/dev/null", flags: O_WRONLY)) }

  @Test func aConsoleGoesToAnotherProcess() throws {
    let input = DescriptorBox(try OwnedDescriptor.open("/dev/null", flags: O_RDONLY))
    try check(ConsoleBlueprint(name: "hvc0", output: nil, input: nil), descriptors: 0)
    try check(ConsoleBlueprint(name: "é", output: try target(), input: nil), descriptors: 1)
    try check(ConsoleBlueprint(name: "", output: nil, input: input), descriptors: 1)
    try check(ConsoleBlueprint(name: "hvc3", output: try target(), input: input), descriptors: 2)
  }

  @Test func descriptorsOfAConsoleKeepTheirOrder() throws {
    let (near, far) = try PacketSocket.pair()
    let output = OutputTarget(descriptor: try OwnedDescriptor.duplicate(near.number))
    let input = DescriptorBox(try OwnedDescriptor.open("/dev/null", flags: O_RDONLY))
    let blueprint = ConsoleBlueprint(name: "hvc0", output: output, input: input)
    let copy = try read(encoded(blueprint), copies(blueprint), as: ConsoleBlueprint.self)
    #expect(unsafe write(copy.descriptors[0], "x", 1) == 1)
    guard case .packet(let packet) = try far.receive(milliseconds: 0) else {
      Issue.record("the first descriptor is not the output")
      return
    }
    #expect(packet.bytes == [UInt8(ascii: "x")])
  }

  @Test func anOutputOfAnUnknownKindIsRefused() throws {
    var writer = ByteWriter()
    writer.put("hvc0")
    writer.put(true)
    writer.put(UInt8(9))
    writer.put("")
    writer.put(false)
    let box = DescriptorBox(try OwnedDescriptor.open("/dev/null", flags: O_WRONLY))
    #expect(throws: MalformedBytes.self) { try read(writer.bytes, [box], as: ConsoleBlueprint.self) }
  }
}
