import Glibc
import Testing

/// The functions of libqcow_utils.so, as a program in C has them.
@Suite(.enabled(if: Tool.hasImages && CLibrary.hasCompiler, "needs cc and qemu-utils"))
struct CLibraryTests {
  let workplace = Workplace()

  /// Calls the function that its first argument names, and prints what it returns. Descriptors are those of files, opened as the header asks.
  private static let program = """
    #include <fcntl.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <qcow_utils.h>

    int main(int count, char **words)
    {
        int source, target;
        if (count != 4)
            return 2;
        if (!strcmp(words[1], "create"))
            return printf("%d\\n", create_qcow_with_size(words[2], strtoull(words[3], NULL, 0))) < 0;
        if (!strcmp(words[1], "expand"))
            return printf("%d\\n", expand_disk_image(words[2], strtoull(words[3], NULL, 0))) < 0;
        source = open(words[2], O_RDONLY);
        target = open(words[3], O_RDWR | O_CREAT, 0644);
        if (!strcmp(words[1], "to_qcow2"))
            return printf("%d\\n", convert_to_qcow2(source, target)) < 0;
        if (!strcmp(words[1], "to_raw"))
            return printf("%d\\n", convert_to_raw(source, target)) < 0;
        if (!strcmp(words[1], "no_source"))
            return printf("%d\\n", convert_to_raw(-1, target)) < 0;
        if (!strcmp(words[1], "same_raw"))
            return printf("%d\\n", convert_to_raw(target, target)) < 0;
        return 2;
    }

    """

  /// - Parameter compiler: As C, or as the first lines of the header promise, as C++.
  private func compile(_ compiler: String = "cc", language: String = "c") throws {
    workplace.write("program.c", Array(Self.program.utf8))
    let folder = Crosvm.sibling("")
    let words = [
      "-Wall", "-Wextra", "-Werror", "-I", CLibrary.headers, "-x", language, "program.c", "-x", "none", "-L", folder, "-lqcow_utils",
      "-Wl,-rpath," + folder, "-o", "program",
    ]
    let ending = try Crosvm(words, in: workplace, program: compiler).end()
    #expect(ending.status == 0 && ending.errors.isEmpty, "\(ending)")
  }

  /// - Returns: What the function returned.
  private func call(_ words: String...) throws -> Int32 {
    let ending = try Crosvm(words, in: workplace, program: "./program").end()
    #expect(ending.status == 0 && ending.errors.isEmpty, "\(ending)")
    return try #require(Int32(ending.output.dropLast()), "\(ending)")
  }

  @Test func aProgramInCMakesAndConvertsImages() throws {
    try compile()
    #expect(try call("create", "a", "1048576") == 0)
    #expect(try Tool.isClean("a", in: workplace))
    try Tool.run("qemu-io", "-f", "qcow2", "-c", "write -P 5 64k 64k", "a", in: workplace)
    #expect(try call("expand", "a", "2097152") == 0)
    #expect(try Tool.isClean("a", in: workplace))
    try Tool.run("qemu-io", "-f", "qcow2", "-c", "read -P 5 64k 64k", "-c", "read -P 0 128k 1920k", "a", in: workplace)
    #expect(try call("to_raw", "a", "raw") == 0)
    #expect(try Tool.haveSameDisk("a", "qcow2", "raw", "raw", in: workplace))
    // What was there before is emptied.
    workplace.write("again", [UInt8](repeating: 0xff, count: 300_000))
    #expect(try call("to_qcow2", "raw", "again") == 0)
    #expect(try Tool.isClean("again", in: workplace) && Tool.haveSameDisk("raw", "raw", "again", "qcow2", in: workplace))
    #expect(try call("expand", "raw", "4194304") == 0)
    try Tool.run("qemu-io", "-f", "raw", "-c", "read -P 5 64k 64k", "-c", "read -P 0 128k 3968k", "raw", in: workplace)
  }

  @Test func whatCannotBeIsAnErrorNumber() throws {
    try compile()
    #expect(try call("create", "a", "1048576") == 0)
    let before = workplace.read("a")
    unsafe #expect(link(workplace.path + "/a", workplace.path + "/link") == 0)
    for (words, code) in [
      (["create", "a", "1048576"], EEXIST), (["create", "no/b", "1048576"], ENOENT), (["create", "b", "1000"], EINVAL),
      (["create", "b", "0"], EINVAL), (["create", "b", "0xffffffffffffffff"], EINVAL), (["expand", "missing", "1048576"], ENOENT),
      (["expand", "a", "512"], EINVAL), (["expand", "a", "1048577"], EINVAL), (["to_raw", "missing", "raw"], EBADF),
      (["to_qcow2", "a", "no/b"], EBADF), (["to_raw", "a", "a"], EINVAL), (["to_qcow2", "a", "a"], EINVAL),
      (["to_raw", "a", "link"], EINVAL), (["same_raw", "a", "a"], EINVAL), (["no_source", "a", "a"], EBADF),
    ] {
      let ending = try Crosvm(words, in: workplace, program: "./program").end()
      #expect(ending.output == "\(-code)\n" && ending.errors.isEmpty, "\(words): \(ending)")
    }
    #expect(workplace.read("a") == before && !workplace.names.contains("b"))
  }

  @Test(.enabled(if: CLibrary.hasPlusPlus, "needs c++")) func aProgramInCPlusPlusHasTheSameFunctions() throws {
    try compile("c++", language: "c++")
    #expect(try call("create", "a", "1048576") == 0)
    #expect(try Tool.isClean("a", in: workplace))
  }
}

enum CLibrary {
  static let hasCompiler = unsafe access("/usr/bin/cc", X_OK) == 0
  static let hasPlusPlus = unsafe access("/usr/bin/c++", X_OK) == 0

  /// The folder of qcow_utils.h.
  static let headers: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
    return parts.joined(separator: "/") + "/Sources/QcowUtils/include"
  }()
}
