import Glibc
import Platform
import Testing

@Suite struct FileChangesTests {
  private func isReadable(_ descriptor: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, 0) == 1
  }

  @Test func aFileThatChangesIsToldOf() throws {
    var template = Array("/tmp/crosvm-changes-XXXXXX".utf8CString)
    let file = OwnedDescriptor(owning: unsafe mkstemp(&template))
    defer { unsafe _ = unlink(template) }
    let changes = try FileChanges()
    try changes.watch(file.number)
    #expect(!isReadable(changes.number))
    for size in [4096, 100] {
      #expect(ftruncate(file.number, size) == 0)
      #expect(isReadable(changes.number))
      changes.drain()
      #expect(!isReadable(changes.number))
    }
  }

  @Test func whatIsNoFileIsRefused() throws {
    let changes = try FileChanges()
    #expect(throws: SystemError.self) { try changes.watch(-1) }
  }
}
