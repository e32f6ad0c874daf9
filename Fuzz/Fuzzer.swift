internal import BlockTesting
internal import Boot
internal import CommandLineTesting
internal import ControlTesting
internal import DiskImageTesting
internal import NetTesting
internal import SandboxTesting
internal import SeccompTesting
internal import VirtioTesting
internal import VsockTesting

/// What is fuzzed; tools/fuzz has the same names.
enum Fuzzer: String, CaseIterable {
  case queue
  case pciTransport = "pci-transport"
  case blockRequest = "block-request"
  case qcow2
  case kernelLoader = "kernel-loader"
  case optionValue = "option-value"
  case commandLine = "command-line"
  case controlMessage = "control-message"
  case deviceMessage = "device-message"
  case deviceSession = "device-session"
  case seccompPolicy = "seccomp-policy"
  case androidSparse = "android-sparse"
  case composite
  case vsockPacket = "vsock-packet"
  case netTransmit = "net-transmit"
  case netControl = "net-control"
  case netStream = "net-stream"

  /// Feeds one input to what is fuzzed. Whatever the bytes are, this comes back; a trap is a bug.
  func run(_ bytes: [UInt8]) {
    switch self {
    case .queue: fuzzQueue(bytes)
    case .pciTransport: fuzzPCITransport(bytes)
    case .blockRequest: fuzzBlockRequest(bytes)
    case .qcow2: fuzzQcow2(bytes)
    case .kernelLoader: exerciseKernelLoader(bytes)
    case .optionValue:
      if let problem = fuzzCommandLineValue(bytes) { fatalError(problem) }
    case .commandLine: fuzzCommandLine(bytes)
    case .controlMessage: fuzzControlMessage(bytes)
    case .deviceMessage: fuzzDeviceMessage(bytes)
    case .deviceSession: fuzzDeviceSession(bytes)
    case .seccompPolicy: fuzzSeccompPolicy(bytes)
    case .androidSparse: fuzzAndroidSparse(bytes)
    case .composite: fuzzComposite(bytes)
    case .vsockPacket: fuzzVsock(bytes)
    case .netTransmit: fuzzNetTransmit(bytes)
    case .netControl: fuzzNetControl(bytes)
    case .netStream: fuzzNetStream(bytes)
    }
  }
}
