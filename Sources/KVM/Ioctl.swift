internal import CLinux
internal import Platform

/// Issues a KVM request whose argument is a number.
@discardableResult
func kvmRequest(_ descriptor: Int32, _ request: UInt, _ name: StaticString, value: UInt = 0) throws(KVMError) -> Int {
  do { return try retrying("\(name)") { Int(clinux_ioctl_value(descriptor, request, value)) } } catch { throw .request(error) }
}

/// Issues a KVM request whose argument is a structure; the structure comes back as the kernel left it.
@discardableResult
func kvmRequest<Argument>(_ descriptor: Int32, _ request: UInt, _ name: StaticString, _ argument: inout Argument) throws(KVMError) -> Int {
  do {
    return try retrying("\(name)") {
      unsafe withUnsafeMutablePointer(to: &argument) { unsafe Int(clinux_ioctl_pointer(descriptor, request, $0)) }
    }
  } catch { throw .request(error) }
}

/// Issues a KVM request whose argument is a list: a count and a word of padding or flags, then the entries (a flexible array).
///
/// - Returns: The kernel's result, and the entries as it left them, as many as it counts.
@discardableResult
func kvmRequest<Entry: BitwiseCopyable>(
  _ descriptor: Int32, _ request: UInt, _ name: StaticString, list entries: [Entry]
) throws(KVMError) -> (result: Int, entries: [Entry]) {
  let headerSize = 8
  let stride = MemoryLayout<Entry>.stride
  let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: headerSize + entries.count * stride, alignment: 16)
  defer { unsafe buffer.deallocate() }
  unsafe buffer.storeBytes(of: UInt64(entries.count), as: UInt64.self)
  for (index, entry) in entries.enumerated() {
    // In bounds: the buffer was sized for the header and all entries.
    unsafe buffer.storeBytes(of: entry, toByteOffset: headerSize + index * stride, as: Entry.self)
  }
  let result: Int
  do {
    result = try retrying("\(name)") { unsafe Int(clinux_ioctl_pointer(descriptor, request, buffer.baseAddress)) }
  } catch { throw .request(error) }
  let count = min(entries.count, unsafe Int(buffer.load(as: UInt32.self)))
  return (result, (0..<count).map { unsafe buffer.loadUnaligned(fromByteOffset: headerSize + $0 * stride, as: Entry.self) })
}
