internal import CLinux
internal import Glibc

/// What /proc says about the processes of this host (proc(5)).
public enum ProcessTable {
  /// A process as it was when it was looked at; it may have ended since.
  public struct Entry: Sendable {
    /// Its number.
    public let identifier: Int
    /// The number of the process that made it.
    public let parent: Int
    /// The words that it was started with.
    public let arguments: [String]
    /// Its working directory, `nil` where it may not be known.
    public let directory: String?
  }

  /// The processes of this user that can be looked at.
  public static func own() -> [Entry] {
    let user = geteuid()
    return numbers().compactMap { number in
      var status = stat()
      guard unsafe stat("/proc/\(number)", &status) == 0, status.st_uid == user else { return nil }
      return entry(number)
    }
  }

  private static func numbers() -> [Int] {
    guard let folder = unsafe opendir("/proc") else { return [] }
    defer { unsafe closedir(folder) }
    var numbers: [Int] = []
    while true {
      guard let item = unsafe readdir(folder) else { return numbers.sorted() }
      // The name ends with a zero within the field (readdir(3)).
      let name = unsafe withUnsafeBytes(of: &item.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if let number = Int(name) { numbers.append(number) }
    }
  }

  private static func entry(_ number: Int) -> Entry? {
    guard let words = contents("/proc/\(number)/cmdline"), !words.isEmpty, let status = contents("/proc/\(number)/stat") else { return nil }
    // The name in parentheses may hold anything; after it come the state and the parent.
    let text = String(decoding: status, as: UTF8.self)
    guard let end = text.lastIndex(of: ")"), let parent = text[end...].split(separator: " ").dropFirst(2).first.flatMap({ Int($0) }) else {
      return nil
    }
    let arguments = words.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
    return Entry(identifier: number, parent: parent, arguments: Array(arguments.dropLast()), directory: link("/proc/\(number)/cwd"))
  }

  private static func contents(_ path: String) -> [UInt8]? {
    guard let file = try? OwnedDescriptor.open(path, flags: O_RDONLY) else { return nil }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    // A command line has at most some megabytes (execve(2)).
    while bytes.count < 8 << 20 {
      let number = file.number
      let length = unsafe piece.withUnsafeMutableBytes { unsafe read(number, $0.baseAddress, $0.count) }
      if length < 0 { return nil }
      if length == 0 { break }
      bytes += piece.prefix(length)
    }
    return bytes
  }

  private static func link(_ path: String) -> String? {
    var target = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = unsafe readlink(path, &target, target.count)
    return length > 0 ? String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
  }
}
