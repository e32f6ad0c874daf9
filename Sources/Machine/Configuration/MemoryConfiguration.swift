/// The guest's memory.
public struct MemoryConfiguration: Sendable, Equatable {
  /// Its size in bytes: a multiple of 4096 within `sizes`.
  public var size: UInt64

  /// Makes the configuration of a memory of some size.
  ///
  /// - Parameter size: Its size in bytes.
  public init(size: UInt64 = MemoryConfiguration.defaultSize) {
    self.size = size
  }

  /// 256 MiB.
  public static let defaultSize: UInt64 = 256 << 20

  /// The sizes that a memory may have, in bytes: 16 MiB to 4 TiB.
  ///
  /// Below 16 MiB there is no room for what boot protocols put below that address: tables below 1 MiB, a kernel that unpacks itself above it.
  /// Above 4 TiB one would need more than one KVM memory slot (2³¹ − 1 pages) and more physical address bits than small hosts have.
  public static let sizes: ClosedRange<UInt64> = (16 << 20)...(4 << 40)

  /// The size of a page, of which the memory is a multiple.
  public static let pageSize: UInt64 = 4096

  func validate() throws(ConfigurationError) {
    guard MemoryConfiguration.sizes.contains(size) else { throw .memorySize(size) }
    guard size.isMultiple(of: MemoryConfiguration.pageSize) else { throw .memoryAlignment(size) }
  }
}
