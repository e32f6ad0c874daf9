import BlockDevice
import DiskImage
import Glibc
import GuestMemory
import Platform
import Synchronization
import Testing
import Virtio
import VirtioTesting

/// Request types of virtio 1.2, section 5.2.6.
enum Op {
  static let read: UInt32 = 0
  static let write: UInt32 = 1
  static let flush: UInt32 = 4
  static let getID: UInt32 = 8
  static let discard: UInt32 = 11
  static let writeZeroes: UInt32 = 13
}

/// Answers of section 5.2.6.
enum Answer {
  static let ok: UInt8 = 0
  static let ioError: UInt8 = 1
  static let unsupported: UInt8 = 2
  /// What the tests write where the answer goes, to see it come.
  static let none: UInt8 = 0xee
}

func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
}

func header(_ type: UInt32, _ sector: UInt64 = 0) -> [UInt8] { littleEndian(type) + littleEndian(UInt32(0)) + littleEndian(sector) }

/// A range of a discard or write-zeroes request.
func range(_ sector: UInt64, _ count: UInt32, flags: UInt32 = 0) -> [UInt8] {
  littleEndian(sector) + littleEndian(count) + littleEndian(flags)
}

/// Bytes that differ from sector to sector.
func pattern(_ count: Int, seed: Int) -> [UInt8] {
  // Sector by sector, because tests are built without optimization.
  let sector = (0..<512).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ seed) }
  var bytes: [UInt8] = []
  for index in 0..<(count + 511) / 512 {
    bytes += sector
    bytes[index * 512] = UInt8(truncatingIfNeeded: index)
    bytes[index * 512 + 511] = UInt8(truncatingIfNeeded: index >> 8)
  }
  return Array(bytes.prefix(count))
}

/// A directory with one image, gone when the test ends.
final class ImageFile {
  let directory: String
  var path: String { "\(directory)/disk" }

  init(size: Int, parent: String = "/tmp") throws {
    var template = Array("\(parent)/block-device-XXXXXX\0".utf8.map { CChar(bitPattern: $0) })
    guard unsafe mkdtemp(&template) != nil else { throw SystemError.last("make a directory in \(parent)") }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let file = try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT, mode: 0o600)
    guard ftruncate(file.number, size) == 0 else { throw SystemError.last("extend the image") }
  }

  deinit {
    unsafe unlink(path)
    unsafe rmdir(directory)
  }

  var bytes: [UInt8] {
    get throws {
      let file = try OwnedDescriptor.open(path, flags: O_RDONLY)
      var bytes = [UInt8](repeating: 0, count: Int(lseek(file.number, 0, SEEK_END)))
      var done = 0
      while done < bytes.count {
        let length = unsafe bytes.withUnsafeMutableBytes {
          unsafe pread(file.number, $0.baseAddress.map { unsafe $0 + done }, $0.count - done, done)
        }
        guard length > 0 else { throw SystemError.last("read the image") }
        done += length
      }
      return bytes
    }
  }

  /// A device on the image, with changes to the default configuration.
  func device(_ change: (inout BlockConfiguration) -> Void = { _ in }) throws -> BlockDevice {
    var configuration = BlockConfiguration(path: path)
    change(&configuration)
    return try BlockDevice(configuration)
  }

  /// A device that stands on what a variant says.
  func device(_ variant: Variant, _ change: (inout BlockConfiguration) -> Void = { _ in }) throws -> BlockDevice {
    try device {
      $0.isDirect = variant.isDirect
      $0.blockSize = variant.isDirect ? 4096 : 512
      change(&$0)
    }
  }
}

extension ActivatedDevice {
  /// The answer to a request: the last byte of the writable buffers, and what comes before it.
  func request(
    _ readable: [[UInt8]], room: [Int] = [], queue: Int = 0, indirect: Bool = false
  ) throws -> (status: UInt8, bytes: [UInt8]) {
    let completion = try perform(queue, readable: readable, writable: room + [1], indirect: indirect)
    return (completion.bytes.last ?? Answer.none, completion.bytes.dropLast())
  }

  /// Makes a request and compares its answer.
  func expect(
    _ status: UInt8, _ readable: [[UInt8]], room: [Int] = [], indirect: Bool = false, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let answer = try request(readable, room: room, indirect: indirect)
    #expect(answer.status == status, sourceLocation: sourceLocation)
  }

  /// Reads as many sectors as `bytes` are, and compares.
  func expect(
    sectors first: UInt64, _ bytes: some Collection<UInt8>, queue: Int = 0, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let answer = try request([header(Op.read, first)], room: [bytes.count], queue: queue)
    #expect(answer.status == Answer.ok, sourceLocation: sourceLocation)
    #expect(answer.bytes.elementsEqual(bytes), sourceLocation: sourceLocation)
  }

  /// A good request is answered well.
  func expectAlive(queue: Int = 0, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let answer = try request([header(Op.read)], room: [512], queue: queue)
    #expect(answer.status == Answer.ok, sourceLocation: sourceLocation)
  }

  func writeSectors(_ sector: UInt64, _ bytes: [UInt8], queue: Int = 0) throws {
    #expect(try request([header(Op.write, sector), bytes], queue: queue).status == Answer.ok)
  }
}

/// What a device can stand on and speak.
struct Variant: CustomTestStringConvertible, Sendable {
  let testDescription: String
  var parent = "/tmp"
  var isDirect = false
  var features = ActivatedDevice.usualFeatures

  static let all = [
    Variant(testDescription: "split ring"),
    Variant(testDescription: "split ring without event index", features: VirtioFeatures.version1),
    Variant(testDescription: "packed ring", features: ActivatedDevice.usualFeatures | VirtioFeatures.packedRing),
    Variant(testDescription: "image in memory", parent: "/dev/shm"),
    Variant(testDescription: "direct I/O", isDirect: true),
  ]
}

/// A flag that one thread sets and another sees.
final class StopFlag: Sendable {
  private let state = Atomic<Bool>(false)
  var isSet: Bool { state.load(ordering: .relaxed) }
  func set() { state.store(true, ordering: .relaxed) }
}
