/// What a machine answers to a request.
public enum ControlResponse: Equatable, Sendable {
  /// It was done. The text is what was asked for, empty where nothing was.
  case done(String)
  /// It was not done, for this reason.
  case failed(String)

  /// The words of the response, as they are sent.
  package var words: String {
    switch self {
    case .done(""): "ok"
    case .done(let text): "ok \(text)"
    case .failed(let reason): "error \(reason)"
    }
  }

  /// Reads the words of a response.
  package init?(words text: Substring) {
    if text == "ok" {
      self = .done("")
    } else if text.hasPrefix("ok ") {
      self = .done(String(text.dropFirst(3)))
    } else if text.hasPrefix("error ") {
      self = .failed(String(text.dropFirst(6)))
    } else {
      return nil
    }
  }
}
