import CommandLine
import VsockDevice

/// The options that give the guest sockets to the host.
enum VsockOptions {
  private static let contextType = ValueType<Int>.integer(
    Int(VsockConfiguration.contexts.lowerBound)...Int(VsockConfiguration.contexts.upperBound), "CID")
  private static let context = Field(
    "cid", contextType, isRequired: true,
    "The guest's context identifier, its address: 3 to 4294967294, for each machine of the host another.")
  private static let socket = Field(
    "socket", .path(),
    "Connect the guest's sockets with Unix sockets, without the host's kernel: programs connect to this one and say CONNECT PORT, and the guest's"
      + " connections to port P of the host go to PATH_P.")
  private static let device = Field(
    "device", .path(), default: VsockConfiguration.kernelDevice,
    "Connect them with AF_VSOCK sockets of the host, by this device of its kernel.")

  private static let fields = FieldTable(
    [context.description, socket.description, device.description], unavailable: ["max-queue-sizes"])

  static let vsock = Option(
    "vsock",
    .fields(fields) { fields throws(ValueError) in
      var vsock = VsockConfiguration(context: number(try fields.require(context)))
      let kernel = try fields.value(device)
      if let path = try fields.value(socket) {
        guard kernel == nil else {
          throw ValueError("socket and device exclude each other", at: fields.position(of: device), remedy: "give one of them")
        }
        vsock.backend = .socket(path: path)
      } else if let kernel {
        vsock.backend = .kernel(path: kernel)
      }
      return vsock
    }, "Give the guest sockets to the host (vsock).")

  static let cid = Option(
    "cid", contextType, "The same as --vsock cid=CID.")

  /// The type of the options lets nothing else through.
  static func number(_ context: Int) -> UInt32 { UInt32(clamping: context) }
}
