internal import CZlib
internal import CZstd

/// Compressed clusters become bytes again. The output is never larger than a cluster, whatever the input says.
enum Decompression {
  /// Decompresses one cluster.
  ///
  /// - Parameter bytes: What is there, with bytes of others behind it.
  /// - Returns: Exactly `size` bytes; nil when the input makes something else.
  static func cluster(_ bytes: [UInt8], _ method: Qcow2Header.Compression, size: Int) -> [UInt8]? {
    switch method {
    case .zlib: inflate(bytes, size: size)
    case .zstd: unpack(bytes, size: size)
    }
  }

  /// A raw deflate stream (qcow2 specification, "Compressed Clusters Descriptor").
  private static func inflate(_ bytes: [UInt8], size: Int) -> [UInt8]? {
    var output = [UInt8](repeating: 0, count: size)
    var input = bytes
    // The library's record has pointers; they are valid while both arrays are lent.
    var stream = unsafe z_stream()
    guard unsafe czlib_begin_raw_inflate(&stream) == Z_OK else { return nil }
    defer { unsafe _ = inflateEnd(&stream) }
    let isWhole = unsafe input.withUnsafeMutableBufferPointer { source in
      unsafe output.withUnsafeMutableBufferPointer { target in
        unsafe stream.next_in = source.baseAddress
        unsafe stream.avail_in = UInt32(source.count)
        unsafe stream.next_out = target.baseAddress
        unsafe stream.avail_out = UInt32(target.count)
        let result = unsafe CZlib.inflate(&stream, Z_FINISH)
        // The stream may go on after the cluster's last byte; only the bytes count.
        return unsafe (result == Z_STREAM_END || result == Z_BUF_ERROR) && stream.avail_out == 0
      }
    }
    return isWhole ? output : nil
  }

  /// A zstd frame; decompressed in one step, it needs no window of its own.
  private static func unpack(_ bytes: [UInt8], size: Int) -> [UInt8]? {
    var output = [UInt8](repeating: 0, count: size)
    let isWhole = unsafe bytes.withUnsafeBytes { source in
      unsafe output.withUnsafeMutableBytes { target in
        let frame = unsafe ZSTD_findFrameCompressedSize(source.baseAddress, source.count)
        if ZSTD_isError(frame) != 0 || frame > source.count { return false }
        return unsafe ZSTD_decompress(target.baseAddress, target.count, source.baseAddress, frame) == size
      }
    }
    return isWhole ? output : nil
  }
}
