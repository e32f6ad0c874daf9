/// The candidate that a mistyped word most likely stands for, or nothing where none is near.
///
/// - Parameters:
///   - word: What the user typed.
///   - candidates: What could have been meant.
public func suggestion(for word: String, among candidates: [String]) -> String? {
  guard word.utf8.count <= 40 else { return nil }
  let typed = Array(word.utf8)
  var best: (distance: Int, candidate: String)?
  for candidate in candidates {
    let distance = editDistance(typed, Array(candidate.utf8))
    let limit = max(1, max(typed.count, candidate.utf8.count) / 3)
    if distance <= limit, distance < best?.distance ?? .max {
      best = (distance, candidate)
    }
  }
  if let best { return best.candidate }
  let extensions = word.utf8.count < 2 ? [] : candidates.filter { $0.hasPrefix(word) }
  return extensions.count == 1 ? extensions[0] : nil
}

/// How many letters must be added, dropped, replaced or swapped with their neighbour to make one word of the other.
private func editDistance(_ first: [UInt8], _ second: [UInt8]) -> Int {
  var beforePrevious: [Int] = []
  var previous = Array(0...second.count)
  for row in first.indices {
    var current = [row + 1]
    for column in second.indices {
      let replaced = previous[column] + (first[row] == second[column] ? 0 : 1)
      var distance = min(replaced, previous[column + 1] + 1, current[column] + 1)
      if row > 0, column > 0, first[row] == second[column - 1], first[row - 1] == second[column] {
        distance = min(distance, beforePrevious[column - 1] + 1)
      }
      current.append(distance)
    }
    beforePrevious = previous
    previous = current
  }
  return previous.last ?? 0
}
