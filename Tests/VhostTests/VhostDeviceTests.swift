import CLinux
import GuestMemory
import Platform
import Testing

@testable import Vhost

@Suite("The kernel's virtio devices")
struct VhostDeviceTests {
  /// A descriptor that is no vhost device: the kernel refuses every request on it.
  private func stranger() throws -> VhostDevice { VhostDevice(try OwnedDescriptor.open("/dev/null", flags: O_RDWR)) }

  @Test("A host without the device is told which module to load")
  func missingDevice() {
    let error = #expect(throws: VhostError.self) { try VhostDevice(path: "/nowhere/vhost-vsock") }
    #expect(
      error?.description
        == "open /nowhere/vhost-vsock: No such file or directory; load the kernel's module (modprobe vhost_vsock), if this host has it")
  }

  @Test("A device that this user may not open is told apart")
  func forbiddenDevice() {
    let error = VhostError.unavailable(path: "/dev/vhost-net", SystemError("open /dev/vhost-net", code: EACCES))
    #expect(error.description == "open /dev/vhost-net: Permission denied; let this user open it (on many hosts the group kvm may)")
  }

  @Test("What is no vhost device refuses each request, and the error names it")
  func strangeDevice() throws {
    let device = try stranger()
    let memory = try GuestMemory(regions: [(GuestAddress(0), 1 << 20)])
    let slice = try memory.slice(GuestAddress(4096), count: 4096)
    let ring = VhostRing(size: 16, descriptors: slice, driver: slice, device: slice, kick: try EventFD(), call: -1)
    func refusal(_ name: String) -> VhostError { .request(SystemError(name, code: ENOTTY)) }
    #expect(throws: refusal("VHOST_SET_OWNER")) { try device.setOwner() }
    #expect(throws: refusal("VHOST_GET_FEATURES")) { _ = try device.features() }
    #expect(throws: refusal("VHOST_SET_MEM_TABLE")) { try device.share(memory) }
    #expect(throws: refusal("VHOST_SET_VRING_NUM")) { try device.connect(ring, index: 0) }
    #expect(throws: refusal("VHOST_GET_VRING_BASE")) { _ = try device.nextAvailable(index: 0) }
    #expect(throws: refusal("VHOST_NET_SET_BACKEND")) { try device.setBackend(nil, index: 0) }
    #expect(throws: refusal("VHOST_VSOCK_SET_GUEST_CID")) { try device.setGuestContext(3) }
    #expect(throws: refusal("VHOST_VSOCK_SET_RUNNING")) { try device.setRunning(true) }
  }

  @Test("Reserved context identifiers are refused before the kernel is asked", arguments: [0, 1, 2, UInt32.max])
  func reservedContext(_ context: UInt32) throws {
    let device = try stranger()
    #expect(throws: VhostError.contextReserved(UInt64(context))) { try device.setGuestContext(context) }
  }
}
