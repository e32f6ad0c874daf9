import Platform

/// An event loop that runs on a thread while this object lives.
final class RunningLoop {
  let loop: EventLoop
  private let thread: PThread

  init() throws {
    let loop = try EventLoop()
    self.loop = loop
    thread = try PThread(name: "test loop") { try? loop.run() }
  }

  deinit {
    loop.stop()
    thread.join()
  }
}
