internal import Synchronization

/// An owned descriptor in a class, for collections and for values that are copied. Who takes it out owns it; what is left closes with the box.
public final class DescriptorBox: Sendable {
  private let content: Mutex<Int32?>

  /// Puts a descriptor into a box.
  public init(_ descriptor: consuming OwnedDescriptor) { content = Mutex(descriptor.release()) }

  deinit { _ = take() }

  /// The descriptor, lent; -1 once it was taken.
  public var number: Int32 { content.withLock { $0 ?? -1 } }

  /// Takes the descriptor out; `nil` when it was taken before.
  public func take() -> OwnedDescriptor? { content.withLock { $0.take() }.map { OwnedDescriptor(owning: $0) } }
}
