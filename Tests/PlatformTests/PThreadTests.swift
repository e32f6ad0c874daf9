import Glibc
import Platform
import Synchronization
import Testing

@Suite struct PThreadTests {
  private final class Box<Value: Sendable>: Sendable {
    private let content: Mutex<Value>
    init(_ value: Value) { content = Mutex(value) }
    var value: Value {
      get { content.withLock { $0 } }
      set { content.withLock { $0 = newValue } }
    }
  }

  @Test func joinReturnsWhenTheThreadHasEndedAndThenAtOnce() throws {
    let done = Box(false)
    let thread = try PThread(name: "worker") {
      usleep(20_000)
      done.value = true
    }
    thread.join()
    #expect(done.value)
    thread.join()
  }

  @Test func aThreadThatGoesOnIsNotWaitedForForEver() throws {
    let mayEnd = try EventFD()
    let thread = try PThread(name: "worker") { while mayEnd.drain() == 0 { mayEnd.wait() } }
    #expect(!thread.join(within: 0) && !thread.join(within: 20))
    mayEnd.signal()
    #expect(thread.join(within: 60_000))
    // Then at once.
    #expect(thread.join(within: 0))
    thread.join()
  }

  @Test(arguments: [
    ("worker", "worker"), ("exactly15bytes!", "exactly15bytes!"), ("a name that is too long", "a name that is "),
    ("ÄÄÄÄÄÄÄÄÄÄ", "ÄÄÄÄÄÄÄ"),
  ])
  func theKernelShowsAsMuchOfTheNameAsItKeeps(given: String, shown: String) throws {
    let seen = Box("")
    let thread = try PThread(name: given) {
      guard let file = try? OwnedDescriptor.open("/proc/thread-self/comm", flags: O_RDONLY) else { return }
      guard let bytes = readSome(file.number) else { return }
      seen.value = String(decoding: bytes, as: UTF8.self)
    }
    thread.join()
    #expect(seen.value == shown + "\n")
  }

  @Test func aSignalReachesAThreadThatAnotherOneJoinsMeanwhile() throws {
    let (ready, arrived) = (Box(false), Box(false))
    let thread = try PThread(name: "waiter") {
      guard let signals = try? SignalFD([SIGUSR2]) else { return }
      ready.value = true
      var entry = pollfd(fd: signals.number, events: Int16(POLLIN), revents: 0)
      arrived.value = unsafe poll(&entry, 1, 10_000) == 1 && signals.next() == SIGUSR2
    }
    while !ready.value { usleep(1_000) }
    let joiner = try PThread(name: "joiner") { thread.join() }
    usleep(20_000)
    thread.signal(SIGUSR2)
    joiner.join()
    #expect(arrived.value)
  }

  @Test func aSignalToAThreadThatHasEndedIsDropped() throws {
    let thread = try PThread(name: "short") {}
    for _ in 0..<100 {
      usleep(100)
      // The signal 0 checks for existence only: nothing may crash, whether or not the thread is gone.
      thread.signal(0)
    }
    thread.join()
    thread.signal(SIGUSR2)
  }

  @Test func aThreadThatNobodyJoinsGoesOn() throws {
    let (gate, done) = (try EventFD(), try EventFD())
    try inScope {
      _ = try PThread(name: "detached") {
        while gate.drain() == 0 { usleep(1_000) }
        done.signal()
      }
    }
    gate.signal()
    while done.drain() == 0 { usleep(1_000) }
  }

  /// Runs a body whose objects are gone afterwards.
  @inline(never) private func inScope(_ body: () throws -> Void) rethrows { try body() }

  @Test func aThreadGetsTheSignalsItUnblocksWhateverItInherited() throws {
    let isBlocked = Box([Bool]())
    let parent = try PThread(name: "parent") {
      SignalFD.blockAll()
      let child = try? PThread(name: "child") {
        func note() {
          var set = sigset_t()
          unsafe pthread_sigmask(SIG_SETMASK, nil, &set)
          isBlocked.value.append(unsafe sigismember(&set, SIGUSR2) == 1)
        }
        note()
        PThread.unblock(SIGUSR2)
        note()
      }
      child?.join()
    }
    parent.join()
    #expect(isBlocked.value == [true, false])
  }

  @Test(arguments: [[-1], [8192], [Int.max], [Int.min], []])
  func affinityToProcessorsThatCannotBeIsRefused(processors: [Int]) {
    let error = #expect(throws: SystemError.self) { try PThread.setAffinity(processors) }
    #expect(error?.code == EINVAL)
  }
}
