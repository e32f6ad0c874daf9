internal import BasicDevices
internal import Logging
internal import Platform

/// Ends a machine one of whose images of persistent memory is made shorter.
///
/// A processor of the guest that touches a page that is gone may wait for it inside of the kernel for ever: KVM takes the failure for a page that
/// is on its way, tries again behind the processor's back, and so on (seen with Linux 6.1). So whoever shortens a file is noticed when he does it.
struct PersistentMemoryWatch {
  private let changes: FileChanges
  private let loop: EventLoop

  /// Begins to watch; without persistent memory there is nothing to do, and a host that cannot tell is only warned about.
  ///
  /// - Parameter onLoss: Called with the reason in words, on the loop's thread or at once.
  init?(_ memories: [PersistentMemory], loop: EventLoop, logger: Logger, onLoss: @escaping @Sendable (String) -> Void) {
    guard !memories.isEmpty else { return nil }
    let images = memories.map(\.image)
    let check: @Sendable () -> Void = {
      if let reason = images.lazy.compactMap(Self.loss).first { onLoss(reason) }
    }
    do {
      let changes = try FileChanges()
      for image in images { try changes.watch(image.descriptor) }
      try loop.add(changes.number) { _ in
        changes.drain()
        check()
      }
      self.changes = changes
      self.loop = loop
    } catch {
      logger.warning("persistent memory: it will not be noticed when an image is made shorter, and the guest may hang then: \(error)")
      return nil
    }
    // What happened since it was opened.
    check()
  }

  /// What an image has lost, in words; `nil` where that is nothing.
  private static func loss(of image: PmemImage) -> String? {
    guard let size = image.presentSize, size < image.size else { return nil }
    return
      "the persistent memory image \(image.configuration.path.debugDescription) was made shorter while the guest used it, from \(image.size)"
      + " to \(size) bytes"
  }

  /// Stops watching, before the loop goes.
  func stop() { loop.remove(changes.number) }
}
