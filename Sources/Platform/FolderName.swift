/// The folder that a path names something in; a path without one is looked up where the process is.
public func folderName(of path: String) -> String {
  path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
}
