internal import CLinux
internal import Glibc
internal import Platform

/// Asks a running machine for something, through its control socket.
public struct ControlClient: ~Copyable {
  private let path: String
  private let socket: OwnedDescriptor
  /// How long to wait for the answer.
  private static let seconds = 60

  /// Connects to the machine that listens at a path.
  public init(path: String) throws(ControlError) {
    self.path = path
    guard path.utf8.count <= UnixSocket.longestPath else { throw .pathTooLong(path) }
    do throws(SystemError) { socket = try UnixSocket.connect(to: path, kind: .sequencedPacket, seconds: Self.seconds) } catch {
      switch error.code {
      case ENOENT, ENOTDIR: throw .missing(path)
      case ECONNREFUSED: throw Self.isSocket(path) ? .noMachine(path) : .noSocket(path)
      case EACCES, EPERM: throw .refused(path)
      case EPROTOTYPE: throw .notASocket(path)
      case EAGAIN: throw .noAnswer(path, seconds: Self.seconds)
      default: throw .system(error)
      }
    }
  }

  private static func isSocket(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
  }

  /// Sends a request and waits for the response.
  public borrowing func ask(_ request: ControlRequest) throws(ControlError) -> ControlResponse {
    let packet = ControlMessage.packet(request.words)
    let number = socket.number
    do throws(SystemError) {
      try retrying("ask the machine at \(path)") {
        unsafe packet.withUnsafeBytes { unsafe send(number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      }
    } catch { throw reason(error) }
    var answer = [UInt8](repeating: 0, count: ControlMessage.sizeLimit + 1)
    let length: Int
    do throws(SystemError) {
      length = try retrying("hear the machine at \(path)") {
        unsafe answer.withUnsafeMutableBytes { unsafe recv(number, $0.baseAddress, $0.count, 0) }
      }
    } catch { throw reason(error) }
    guard length > 0 else { throw .noAnswer(path, seconds: 0) }
    guard let response = ControlResponse(words: try ControlMessage.words(of: answer.prefix(length))) else {
      throw .badMessage("it is neither an answer nor an error")
    }
    return response
  }

  private borrowing func reason(_ error: SystemError) -> ControlError {
    switch error.code {
    case EAGAIN: .noAnswer(path, seconds: Self.seconds)
    case EPIPE, ECONNRESET: .noAnswer(path, seconds: 0)
    default: .system(error)
    }
  }
}
