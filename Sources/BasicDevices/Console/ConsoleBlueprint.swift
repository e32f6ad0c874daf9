public import Logging
public import Platform
public import Virtio

/// What a console is made of: where its output goes, and what its input comes from.
public struct ConsoleBlueprint: DeviceBlueprint {
  /// A console.
  public static var kind: String { "console" }

  private let name: String
  private let output: OutputTarget?
  private let input: DescriptorBox?

  /// Gathers them.
  ///
  /// - Parameters:
  ///   - name: Names the port in log lines.
  ///   - output: Where the guest's bytes go; `nil` for nowhere.
  ///   - input: What is read for the guest; `nil` for nothing.
  public init(name: String, output: OutputTarget?, input: DescriptorBox?) {
    self.name = name
    self.output = output
    self.input = input
  }

  /// The output, then the input, where there are any.
  public var descriptors: [Int32] { [output?.descriptor, input?.number].compactMap { $0 } }

  /// The name and which descriptors there are.
  public func encode(to writer: inout ByteWriter) {
    writer.put(name)
    writer.put(output != nil)
    output?.encode(to: &writer)
    writer.put(input != nil)
  }

  /// Takes what another process opened.
  public init(from reader: inout ByteReader, descriptors: DescriptorList) throws {
    name = try reader.getString()
    output = try reader.getBool() ? try OutputTarget(from: &reader, descriptor: try descriptors.nextOwned()) : nil
    input = try reader.getBool() ? try descriptors.next() : nil
  }

  /// Makes the console, and starts what writes its output.
  public func build(logger: Logger) throws -> any VirtioDevice {
    guard let output else { return ConsoleDevice(output: NullOutput(), source: input) }
    let buffer = try output.makeOutput(name: "console output") { [name] in
      logger.warning("\(name): \($0); what the guest writes there is lost from now on")
    }
    try buffer.start()
    return ConsoleDevice(output: buffer, source: input)
  }
}
