/// What a client asks of a running machine; the commands of `crosvm` that need one are these.
///
/// On the wire a request is a line of words (docs/control-socket.md). The reader takes what another process wrote, so it trusts nothing.
public enum ControlRequest: Equatable, Sendable {
  /// End the machine, as if its plug were pulled.
  case stop
  /// Hold processors and devices still.
  case suspend
  /// Let them go on.
  case resume
  /// Press the power button, so that the guest shuts down in its own order.
  case pressPowerButton
  /// Take this many bytes of memory from the guest, in all.
  case balloon(bytes: UInt64)
  /// Ask how much memory the guest has, uses, and gave away.
  case balloonStatistics
  /// Change the size of the disk with this number, in the order of the command line, to this many bytes.
  case resizeDisk(index: Int, bytes: UInt64, mayShrink: Bool)
  /// Plug in or pull the cable of the network card with this number, in the order of the command line.
  case setLink(card: Int, isUp: Bool)
  /// List the devices at the guest's USB controller.
  case listUSB
  /// Plug in a device of the host.
  case attachUSB(USBDeviceName)
  /// Unplug the device at a port.
  case detachUSB(port: UInt8)
  /// Ask for the version of the program.
  case version

  /// A USB device of the host: its place, and what it must be.
  public struct USBDeviceName: Equatable, Sendable {
    /// The bus's number.
    public let bus: UInt8
    /// The device's address on it.
    public let address: UInt8
    /// The vendor's identifier; 0 for any.
    public let vendor: UInt16
    /// The product's identifier; 0 for any.
    public let product: UInt16

    /// Names a device.
    public init(bus: UInt8, address: UInt8, vendor: UInt16, product: UInt16) {
      self.bus = bus
      self.address = address
      self.vendor = vendor
      self.product = product
    }

    /// Reads `BUS:ADDRESS:VENDOR:PRODUCT`: the first two are decimal, the others hexadecimal.
    public init?(_ text: some StringProtocol) {
      let parts = text.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count == 4, let bus = UInt8(digits: parts[0], radix: 10), let address = UInt8(digits: parts[1], radix: 10),
        let vendor = UInt16(digits: parts[2], radix: 16), let product = UInt16(digits: parts[3], radix: 16)
      else { return nil }
      self.init(bus: bus, address: address, vendor: vendor, product: product)
    }

    /// The form that `init(_:)` reads.
    public var text: String {
      "\(bus):\(address):\(String(vendor, radix: 16)):\(String(product, radix: 16))"
    }
  }

  /// The words of the request, as they are sent.
  public var words: String {
    switch self {
    case .stop: "stop"
    case .suspend: "suspend"
    case .resume: "resume"
    case .pressPowerButton: "powerbtn"
    case .balloon(let bytes): "balloon \(bytes)"
    case .balloonStatistics: "balloon_stats"
    case .resizeDisk(let index, let bytes, let mayShrink): "disk resize \(index) \(bytes)\(mayShrink ? " shrink" : "")"
    case .setLink(let card, let isUp): "net link \(card) \(isUp ? "up" : "down")"
    case .listUSB: "usb list"
    case .attachUSB(let name): "usb attach \(name.text)"
    case .detachUSB(let port): "usb detach \(port)"
    case .version: "version"
    }
  }

  /// Reads the words of a request.
  ///
  /// - Throws: What is wrong with them.
  public init(words text: some StringProtocol) throws(ControlError) {
    let words = text.split(separator: " ", omittingEmptySubsequences: false)
    let rest = words.dropFirst()
    switch (words.first.map { String($0) } ?? "", rest.count) {
    case ("stop", 0): self = .stop
    case ("suspend", 0): self = .suspend
    case ("resume", 0): self = .resume
    case ("powerbtn", 0): self = .pressPowerButton
    case ("balloon", 1): self = .balloon(bytes: try Self.number(words[1]))
    case ("balloon_stats", 0): self = .balloonStatistics
    case ("disk", 3) where words[1] == "resize":
      self = .resizeDisk(index: try Self.number(words[2]), bytes: try Self.number(words[3]), mayShrink: false)
    case ("disk", 4) where words[1] == "resize" && words[4] == "shrink":
      self = .resizeDisk(index: try Self.number(words[2]), bytes: try Self.number(words[3]), mayShrink: true)
    case ("net", 3) where words[1] == "link" && (words[3] == "up" || words[3] == "down"):
      self = .setLink(card: try Self.number(words[2]), isUp: words[3] == "up")
    case ("usb", 1) where words[1] == "list": self = .listUSB
    case ("usb", 2) where words[1] == "attach":
      guard let name = USBDeviceName(words[2]) else { throw .badRequest("a USB device is BUS:ADDRESS:VENDOR:PRODUCT") }
      self = .attachUSB(name)
    case ("usb", 2) where words[1] == "detach": self = .detachUSB(port: try Self.number(words[2]))
    case ("version", 0): self = .version
    default: throw .badRequest("this machine knows no such request")
    }
  }

  private static func number<Number: FixedWidthInteger>(_ word: some StringProtocol) throws(ControlError) -> Number {
    guard let number: Number = Number(digits: word, radix: 10) else { throw .badRequest("a number of the request is none, or too large") }
    return number
  }
}

extension FixedWidthInteger {
  /// Reads digits only: no sign, no space. Nil also where there are none, or the number is too large.
  init?(digits text: some StringProtocol, radix: Int) {
    guard !text.isEmpty, text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) else { return nil }
    self.init(text, radix: radix)
  }
}
