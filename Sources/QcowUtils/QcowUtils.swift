internal import DiskImage
internal import Glibc
internal import Platform

// The functions of include/qcow_utils.h. Each returns zero, or a negated errno; what the failure means in words goes to nobody.

/// See `create_qcow_with_size` in qcow_utils.h.
@_cdecl("create_qcow_with_size")
public func createQcow(path: UnsafePointer<CChar>?, virtualSize: UInt64) -> Int32 {
  guard let path = unsafe path.flatMap({ unsafe String(validatingCString: $0) }) else { return -EINVAL }
  return code { try Qcow2Image.create(path: path, size: virtualSize) }
}

/// See `expand_disk_image` in qcow_utils.h.
@_cdecl("expand_disk_image")
public func expandDiskImage(path: UnsafePointer<CChar>?, virtualSize: UInt64) -> Int32 {
  guard let path = unsafe path.flatMap({ unsafe String(validatingCString: $0) }) else { return -EINVAL }
  return code {
    var options = ImageFiles.Options()
    options.refusesForeign = true
    let disk = try ImageFiles.open(path: path, options: options).assemble()
    guard virtualSize >= disk.size else { throw SystemError("expand \(path)", code: EINVAL) }
    try disk.resize(to: virtualSize)
    disk.finish()
  }
}

/// See `convert_to_qcow2` in qcow_utils.h.
@_cdecl("convert_to_qcow2")
public func convertToQcow2(source: Int32, target: Int32) -> Int32 { convert(source, target, .qcow2(Qcow2Image.Format())) }

/// See `convert_to_raw` in qcow_utils.h.
@_cdecl("convert_to_raw")
public func convertToRaw(source: Int32, target: Int32) -> Int32 { convert(source, target, .raw) }

private func convert(_ source: Int32, _ target: Int32, _ format: ImageConversion.Target) -> Int32 {
  code {
    var options = ImageFiles.Options()
    options.isReadOnly = true
    options.isLocked = false
    options.refusesForeign = true
    let files = try ImageFiles.open(path: "/proc/self/fd/\(source)", options: options)
    try ImageConversion.convert(files, into: target, path: "/proc/self/fd/\(target)", as: format)
  }
}

private func code(_ body: () throws -> Void) -> Int32 {
  do {
    try body()
    return 0
  } catch let error as SystemError { return -error.code } catch let error as DiskError {
    switch error {
    case .missing: return -ENOENT
    case .refused: return -EACCES
    case .exists: return -EEXIST
    case .inUse: return -EBUSY
    case .badDescriptor: return -EBADF
    case .cannotCreate(_, let reason), .system(let reason): return -reason.code
    default: return -EINVAL
    }
  } catch { return -EINVAL }
}
