public import Platform

// From the process that opens to the one that uses.
extension ImageFiles {
  /// The files' descriptors, lent, in the order in which `init(from:next:)` takes them.
  public var descriptors: [Int32] {
    layers.flatMap { [$0.file.number] + ($0.cached.map { [$0.number] } ?? []) } + parts.flatMap(\.descriptors)
      + (overlay.map { [$0.number] } ?? [])
  }

  /// Writes what is known of the files.
  public func encode(to writer: inout ByteWriter) {
    writer.put(options.isReadOnly)
    writer.put(options.isDirect)
    writer.put(options.isSparse)
    writer.put(options.cacheSize)
    writer.put(UInt8(layers.count))
    for layer in layers {
      writer.put(layer.format.rawValue)
      writer.put(layer.file.path)
      ImageFiles.put(layer.file.facts, to: &writer)
      writer.put(layer.cached != nil)
      if let cached = layer.cached { ImageFiles.put(cached.facts, to: &writer) }
    }
    encodeOthers(to: &writer)
  }

  private func encodeOthers(to writer: inout ByteWriter) {
    writer.put(UInt8(clamping: parts.count))
    for part in parts { part.encode(to: &writer) }
    writer.put(overlay != nil)
  }

  private static func put(_ facts: RawImage.Facts, to writer: inout ByteWriter) {
    writer.put(facts.size)
    writer.put(facts.alignment)
    writer.put(facts.bufferAlignment)
    writer.put(facts.isMemory)
    writer.put(facts.isDevice)
  }

  private static func facts(from reader: inout ByteReader) throws -> RawImage.Facts {
    RawImage.Facts(
      size: try reader.get(), alignment: try reader.get(), bufferAlignment: try reader.get(), isMemory: try reader.getBool(),
      isDevice: try reader.getBool())
  }

  /// Takes files that another process opened, and locked where that was asked for.
  ///
  /// - Parameter next: Gives the descriptors one after the other.
  /// - Throws: `MalformedBytes`, or what `next` throws.
  public init(from reader: inout ByteReader, next: () throws -> OwnedDescriptor) throws {
    try self.init(from: &reader, mayHaveParts: true, next: next)
  }

  private init(from reader: inout ByteReader, mayHaveParts: Bool, next: () throws -> OwnedDescriptor) throws {
    var options = Options()
    options.isReadOnly = try reader.getBool()
    options.isDirect = try reader.getBool()
    options.isSparse = try reader.getBool()
    options.cacheSize = try reader.get()
    guard ImageFiles.cacheSizes.contains(options.cacheSize) else {
      throw MalformedBytes("\(options.cacheSize) bytes are no memory for tables")
    }
    let count = try reader.get(UInt8.self)
    guard count > 0, Int(count) <= ImageFiles.backingLimit + 1 else { throw MalformedBytes("\(count) files are no image") }
    var layers: [Layer] = []
    for index in 0..<count {
      var raw = RawImage.Options()
      raw.isReadOnly = options.isReadOnly || index > 0
      raw.isDirect = options.isDirect && index == 0
      raw.isSparse = options.isSparse
      guard let format = ImageFormat(rawValue: try reader.getString()) else { throw MalformedBytes("it has an unknown format") }
      let path = try reader.getString()
      let file = RawImage(descriptor: try next(), path: path, options: raw, facts: try ImageFiles.facts(from: &reader))
      var cached: RawImage?
      if try reader.getBool() {
        raw.isDirect = false
        cached = RawImage(descriptor: try next(), path: path, options: raw, facts: try ImageFiles.facts(from: &reader))
      }
      layers.append(Layer(format: format, file: file, cached: cached))
    }
    self.layers = layers
    self.options = options
    let partCount = Int(try reader.get(UInt8.self))
    guard partCount == 0 || mayHaveParts else { throw MalformedBytes("parts have no parts") }
    for _ in 0..<partCount { parts.append(try ImageFiles(from: &reader, mayHaveParts: false, next: next)) }
    if try reader.getBool() { overlay = TemporaryFile(try next()) }
  }
}
