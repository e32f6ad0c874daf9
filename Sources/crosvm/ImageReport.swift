import DiskImage

/// What is found out about an image, in words and as qemu-img's JSON has it.
enum ImageReport {
  /// - Parameter isRepaired: Whether what could be made right was.
  static func text(_ report: Qcow2Report, isRepaired: Bool) -> String {
    var lines = marks(report, isRepaired: isRepaired)
    if report.corruptionsFixed > 0 { lines.append(count(report.corruptionsFixed, "error", " was repaired", " were repaired")) }
    if report.leaksFixed > 0 { lines.append(count(report.leaksFixed, "lost cluster", " was given back", " were given back")) }
    let rest = isRepaired ? (" remains", " remain") : ("", "")
    if report.corruptions > 0 { lines.append(count(report.corruptions, "error", rest.0, rest.1)) }
    if report.leaks > 0 {
      lines.append(count(report.leaks, "lost cluster", rest.0 + ", which only takes space", rest.1 + ", which only take space"))
    }
    if report.isClean { lines.append("nothing is wrong") }
    lines.append(
      "\(report.allocatedClusters) of \(report.totalClusters) clusters are allocated, \(report.compressedClusters) of them compressed")
    return lines.joined(separator: "\n")
  }

  /// What the image's own marks say.
  private static func marks(_ report: Qcow2Report, isRepaired: Bool) -> [String] {
    var lines: [String] = []
    if report.wasNotClosed { lines.append("it was not closed" + (isRepaired ? ", and is now" : "")) }
    if report.isMarkedCorrupt {
      lines.append(
        "it is marked as corrupt" + (isRepaired ? " still" : "; crosvm disk repair takes the mark away when nothing else is wrong"))
    } else if report.wasMarkedCorrupt {
      lines.append("it was marked as corrupt, and is not any more")
    }
    return lines
  }

  /// So many things, and what follows for one and for more of them.
  private static func count(_ number: UInt64, _ noun: String, _ one: String, _ many: String) -> String {
    number == 1 ? "1 \(noun)\(one)" : "\(number) \(noun)s\(many)"
  }

  static func json(_ report: Qcow2Report, _ path: String) -> String {
    var fields = [
      ("image-end-offset", "\(report.imageEnd)"), ("total-clusters", "\(report.totalClusters)"), ("check-errors", "0"),
      ("allocated-clusters", "\(report.allocatedClusters)"), ("filename", quoted(path)), ("format", quoted("qcow2")),
      ("fragmented-clusters", "\(report.fragmentedClusters)"), ("compressed-clusters", "\(report.compressedClusters)"),
    ]
    // Where there are none they are left out.
    let optional = [
      ("leaks", report.leaks), ("corruptions", report.corruptions), ("leaks-fixed", report.leaksFixed),
      ("corruptions-fixed", report.corruptionsFixed),
    ]
    fields += optional.filter { $0.1 > 0 }.map { ($0.0, "\($0.1)") }
    return object(fields)
  }

  static func text(_ facts: ImageFacts) -> String {
    var lines = ["format: \(facts.format.rawValue)", "size: \(facts.size) bytes", "space on the host: \(facts.allocated) bytes"]
    if let header = facts.header {
      lines.append(
        "version: \(header.version), clusters of \(1 << header.clusterBits) bytes, refcounts of \(1 << header.refcountOrder) bits")
      if let name = header.backingName {
        lines.append("backing file: \(name.debugDescription), format \(header.backingFormat?.debugDescription ?? "not told")")
      }
      if header.snapshotCount > 0 { lines.append("internal snapshots: \(header.snapshotCount)") }
      if header.isDirty { lines.append("it was not closed; crosvm disk check tells whether something is wrong") }
      if let encryption = header.encryption { lines.append("it is encrypted (\(encryption)), which is not supported") }
      if header.hasExternalData {
        lines.append(
          "its content is in an external data file, which is not supported: \(header.dataName?.debugDescription ?? "name not told")")
      }
      if header.isCorrupt { lines.append("it is marked as corrupt") }
    }
    if let foreign = facts.foreign {
      lines.append("it looks like \(foreign.rawValue), which is not supported; qemu-img convert makes a raw or qcow2 image of one")
    }
    return lines.joined(separator: "\n")
  }

  /// A range of the disk from `start` on.
  static func range(_ start: UInt64, _ extent: DiskExtent, isJSON: Bool) -> String {
    guard isJSON else {
      return "\(start) \(extent.count) \(extent.isZero ? "zero" : "data") \(extent.hostOffset.map { "\($0)" } ?? "-")"
    }
    var fields = [("start", "\(start)"), ("length", "\(extent.count)"), ("zero", "\(extent.isZero)"), ("data", "\(!extent.isZero)")]
    if let place = extent.hostOffset { fields.append(("offset", "\(place)")) }
    return object(fields)
  }

  static func json(_ facts: ImageFacts) -> String {
    var fields = [
      ("virtual-size", "\(facts.size)"), ("filename", quoted(facts.path)), ("format", quoted(facts.format.rawValue)),
      ("actual-size", "\(facts.allocated)"), ("dirty-flag", "\(facts.header?.isDirty ?? false)"),
    ]
    if facts.header?.encryption != nil { fields.append(("encrypted", "true")) }
    if let header = facts.header {
      fields.append(("cluster-size", "\(1 << header.clusterBits)"))
      if let name = header.backingName { fields.append(("backing-filename", quoted(name))) }
      if let format = header.backingFormat { fields.append(("backing-filename-format", quoted(format))) }
      fields.append(("format-specific", object([("type", quoted("qcow2")), ("data", object(details(header)))])))
    }
    return object(fields)
  }

  /// What a qcow2 image's header says of features; version 2 has none.
  private static func details(_ header: Qcow2Header) -> [(name: String, value: String)] {
    let isNew = header.version == 3
    let fields = [
      ("compat", quoted(isNew ? "1.1" : "0.10")), ("compression-type", quoted("\(header.compression)")),
      ("refcount-bits", "\(1 << header.refcountOrder)"),
    ]
    let features = [
      ("lazy-refcounts", "\(header.hasLazyRefcounts)"), ("corrupt", "\(header.isCorrupt)"), ("extended-l2", "\(header.hasSubclusters)"),
    ]
    let data = header.dataName.map { [("data-file", quoted($0))] } ?? []
    return fields + (isNew ? features : []) + data
  }

  private static func object(_ fields: [(name: String, value: String)]) -> String {
    "{" + fields.map { "\"\($0.name)\": \($0.value)" }.joined(separator: ", ") + "}"
  }

  /// A text as JSON writes it (RFC 8259, section 7).
  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
