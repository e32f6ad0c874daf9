import CommandLine
import Testing

struct FieldsTests {
  private struct Disk: Equatable {
    var path: String
    var isReadOnly: Bool
    var queues: Int
    var sizes: [Int]
    var corner: [Int]
  }

  private static let x = Field("x", .integer(0...9), isRequired: true, "One number.")
  private static let y = Field("y", .integer(0...9), "Another.")
  private static let corner = ValueType.fields(FieldTable([x.description, y.description])) { fields throws(ValueError) in
    [try fields.require(x), try fields.value(y) ?? 0]
  }

  private static let path = Field("path", .path(), isRequired: true, "Where it is.")
  private static let readOnly = Field("ro", .boolean, "Only for reading.")
  private static let queues = Field("num-queues", .integer(1...16), aliases: ["queues"], "How many.")
  private static let sizes = Field("sizes", .list(of: .integer(1...1024)), "How large.")
  private static let place = Field("corner", corner, "Where.")

  private static let table = FieldTable(
    [path.description, readOnly.description, queues.description, sizes.description, place.description], unavailable: ["pci-address"])

  private static let disk = ValueType.fields(table) { fields throws(ValueError) in
    Disk(
      path: try fields.require(path), isReadOnly: try fields.value(readOnly) ?? false, queues: try fields.value(queues) ?? 1,
      sizes: try fields.value(sizes) ?? [], corner: try fields.value(place) ?? [])
  }

  @Test func theFirstKeyMayBeLeftOut() throws {
    let expected = Disk(path: "a", isReadOnly: true, queues: 2, sizes: [], corner: [])
    for text in [
      "a,ro,queues=2", "path=a,ro=true,num_queues=2", "queues=2,path=a,ro", "a,ro=on,num-queues=0x2", "\"a\",\"ro\",queues=\"2\"",
    ] {
      #expect(try FieldsTests.disk.value(of: text) == expected)
    }
  }

  @Test func listsAndNestedFields() throws {
    let disk = try FieldsTests.disk.value(of: "a,sizes=[1,2,0x3],corner=[y=2,x=1]")
    #expect(disk == Disk(path: "a", isReadOnly: false, queues: 1, sizes: [1, 2, 3], corner: [1, 2]))
    #expect(try FieldsTests.disk.value(of: "a,sizes=7,corner=[4]").corner == [4, 0])
    #expect(try FieldsTests.disk.value(of: "a,sizes=7,corner=4").sizes == [7])
  }

  @Test(arguments: [
    ("", "the value is empty; give one"),
    ("ro", "accepted"),
    ("ro=true", "there is no path; give path=PATH"),
    ("a,path=b", "the key \"path\" is given twice, at character 3; give it once"),
    ("a,queues=1,num-queues=2", "the key \"num-queues\" is given twice, at character 12; give it once"),
    ("a,rw", "\"rw\" is not a known key, at character 3; did you mean ro? known are path, ro, num-queues, sizes and corner"),
    ("a,wonder=1", "\"wonder\" is not a known key, at character 3; known are path, ro, num-queues, sizes and corner"),
    ("a,pci_address=1", "the key \"pci_address\" is not available in this build, at character 3; drop it"),
    ("a,queues", "the key \"queues\" has no value, at character 3; give num-queues=N"),
    ("a,queues=", "the key \"queues\" has no value, at character 10; give queues=VALUE"),
    ("a,queues=17", "\"17\" is out of range, at character 10; give a whole number from 1 to 16"),
    ("a,ro=2", "\"2\" is neither true nor false, at character 6; give true or false, or on or off"),
    ("a,[ro]", "a list has no key, at character 3; give KEY=[...]"),
    ("[a]", "a list in [ ] has no place here; give a path"),
    ("a[b]", "\"a\" is followed by a list in [ ]; give a path, in double quotes where brackets belong to it"),
    ("a,sizes=[1,x]", "\"x\" is not a whole number, at character 12; give a whole number from 1 to 1024"),
    ("a,sizes=[k=1]", "the list has a key \"k\", at character 10; give a list in [ ] of which each is a whole number from 1 to 1024"),
    ("a,corner=[z=1]", "\"z\" is not a known key, at character 11; did you mean x? known are x and y"),
    ("a,corner=[]", "there is no x, at character 10; give x=N"),
    ("a,corner=b[c]", "\"b\" is followed by a list in [ ], at character 10; give N, then KEY=VALUE after commas"),
  ])
  func errorsNameTheKeyAndThePlace(text: String, expected: String) {
    let line = line(of: text, FieldsTests.disk)
    #expect(expected == "accepted" ? line.hasPrefix("accepted") : line == expected)
  }
}
