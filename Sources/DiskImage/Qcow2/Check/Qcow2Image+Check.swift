internal import CLinux
internal import Glibc
internal import Platform

extension Qcow2Image {
  /// Checks a file that nobody uses, and repairs it where that is asked for. Backing files have no part in it.
  ///
  /// - Throws: `DiskError` when the file is none that can be checked.
  public static func check(file: any ImageFile, path: String, repair: Qcow2Repair) throws(DiskError) -> Qcow2Report {
    do {
      let header = try header(of: file)
      let engine = try Qcow2Engine(
        header, file: file, backing: nil, isReadOnly: repair == .nothing, punchesHoles: true, cacheSize: defaultCacheSize,
        inFlight: InFlight())
      var checker = Qcow2Checker(engine, repair)
      try checker.run()
      var report = checker.report
      if repair != .nothing {
        engine.isMarkedDirty = true
        if repair == .all, report.isClean { engine.header.incompatible &= ~Qcow2Header.Feature.corrupt }
        try engine.settle()
      }
      report.wasNotClosed = header.isDirty
      report.wasMarkedCorrupt = header.isCorrupt
      report.isMarkedCorrupt = engine.header.isCorrupt
      return report
    } catch { throw DiskError.of(error, path) }
  }

  /// Checks a file by its path, locked meanwhile.
  public static func check(path: String, repair: Qcow2Repair) throws(DiskError) -> Qcow2Report {
    var options = RawImage.Options()
    options.isReadOnly = repair == .nothing
    let file = try RawImage(container: try RawImage.open(path, options), path: path, options: options)
    return try check(file: file, path: path, repair: repair)
  }
}
