/// What the fuzzer begins with.
public enum VsockSeeds {
  /// A guest that connects, gets buffers, sends, receives and closes; as a stream and with messages.
  public static var sessions: [[UInt8]] {
    ([0, 1] as [UInt8]).map { kind in
      [8, 4, 0, 2, kind, 63, 2, 0, 100, 0, 63, 6, 0, 3, 5, 0, 200, 1, 8, 3, 10, 0, 63, 4, 1, 1, 1, 1, 1, 5, 0, 3]
        + [9, 0, 2, 63, 6, 0, 1, 7, 0, 11, 0, 8, 4, 0, 3, kind, 63]
    }
  }
}
