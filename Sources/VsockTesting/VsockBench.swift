internal import Glibc
public import Logging
internal import Platform
public import Virtio
internal import VirtioTesting
public import VsockDevice

/// A socket device in this process, with its sockets in a folder of its own, which goes with the value.
public final class VsockBench {
  /// The folder's path.
  public let folder: String
  /// The device.
  public let device: any VirtioDevice
  /// Its listening sockets; nil to take them away.
  public var sockets: VsockSockets?

  /// Makes the folder and the device.
  public init(logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) throws {
    var template = Array("/tmp/vsock-XXXXXX".utf8CString)
    guard let name = unsafe template.withUnsafeMutableBufferPointer({ buffer in unsafe buffer.baseAddress.flatMap { unsafe mkdtemp($0) } })
    else {
      throw SystemError.last("make a folder")
    }
    folder = unsafe String(cString: name)
    let sockets = try VsockSockets(path: folder + "/s")
    self.sockets = sockets
    device = try VsockBlueprint(context: VsockGuest.context, sockets: sockets).build(logger: logger)
  }

  deinit {
    sockets = nil
    // Sockets of tests may be left in it.
    if let folder = unsafe opendir(folder) {
      while let entry = unsafe readdir(folder) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
          unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
        }
        _ = unsafe unlink("\(self.folder)/\(name)")
      }
      unsafe closedir(folder)
    }
    _ = unsafe rmdir(folder)
  }

  /// The path at which host programs connect.
  public var path: String { folder + "/s" }

  /// Activates the device and lets `body` play the guest.
  public func withGuest<Result>(
    bufferSize: Int = 4096, buffers: Int = 64, deviceFeatures: UInt64 = .max, _ body: (VsockGuest) throws -> Result
  ) throws -> Result {
    try withActivatedDevice(device, deviceFeatures: deviceFeatures) { driver in
      try body(try VsockGuest(driver, bufferSize: bufferSize, buffers: buffers))
    }
  }
}
