internal import Glibc

/// Called once by libFuzzer, before all else: finds out which fuzzer this process is, or only writes down what it begins with.
@c(LLVMFuzzerInitialize)
public func initialize(
  _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>
) -> CInt {
  FuzzProcess.prepareIfAsked()
  return 0
}

/// Called by libFuzzer with each input.
@c(LLVMFuzzerTestOneInput)
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  // The bytes are lent for the call.
  FuzzProcess.run(unsafe Array(UnsafeBufferPointer(start: data, count: size)))
  return 0
}

/// What libFuzzer, which has the command line, is not told: it is in the environment, where libFuzzer's own child processes find it too.
private enum FuzzProcess {
  /// What is fuzzed.
  private static let fuzzer: Fuzzer = {
    guard let fuzzer = variable("CROSVM_FUZZER").flatMap({ Fuzzer(rawValue: $0) }) else {
      fail("CROSVM_FUZZER names no fuzzer; give one of \(Fuzzer.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return fuzzer
  }()

  static func run(_ bytes: [UInt8]) {
    fuzzer.run(bytes)
    // A leak of descriptors would let all later inputs fail early, and look like success.
    let descriptor = dup(STDERR_FILENO)
    precondition((0..<256).contains(descriptor), "the fuzzer leaks descriptors")
    close(descriptor)
  }

  /// With `CROSVM_FUZZ_PREPARE` in the environment, writes seeds and dictionary into that directory and ends the process.
  static func prepareIfAsked() {
    let fuzzer = fuzzer
    guard let directory = variable("CROSVM_FUZZ_PREPARE") else { return }
    for (number, seed) in fuzzer.seeds.enumerated() { write(seed, to: "\(directory)/seeds/\(number)") }
    write(Array(fuzzer.dictionary.map { dictionaryLine($0) }.joined().utf8), to: "\(directory)/dictionary")
    exit(EXIT_SUCCESS)
  }

  /// A word as libFuzzer reads it: all but letters and digits in hexadecimal.
  private static func dictionaryLine(_ word: String) -> String {
    let digits = Array("0123456789abcdef")
    let escaped = word.utf8.map { byte in
      let character = Character(UnicodeScalar(byte))
      let isPlain = byte < 0x80 && (character.isLetter || character.isNumber)
      return isPlain ? String(character) : "\\x\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
    }
    return "\"\(escaped.joined())\"\n"
  }

  private static func write(_ bytes: [UInt8], to path: String) {
    guard let file = unsafe fopen(path, "we") else { fail("cannot create \(path)") }
    let count = unsafe fwrite(bytes, 1, bytes.count, file)
    guard unsafe fclose(file) == 0, count == bytes.count else { fail("cannot write \(path)") }
  }

  private static func variable(_ name: String) -> String? {
    unsafe getenv(name).map { unsafe String(cString: $0) }
  }

  private static func fail(_ reason: String) -> Never {
    let line = "fuzzers: \(reason)\n"
    _ = unsafe Glibc.write(STDERR_FILENO, line, line.utf8.count)
    exit(EXIT_FAILURE)
  }
}
