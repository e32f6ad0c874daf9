import Platform

/// Threads that share one piece of work.
enum Workers {
  /// Runs `body` on some threads and waits for all of them.
  static func run(count: Int, _ body: @escaping @Sendable () -> Void) {
    let threads = (0..<max(count, 1)).compactMap { try? PThread(name: "worker\($0)", body: body) }
    for thread in threads { thread.join() }
  }
}
