import Testing
import Virtio

@Suite struct InterruptHoldTests {
  @Test("Without answers nothing is held") func nothing() {
    var hold = InterruptHold()
    #expect(!hold.hasAnswers && !hold.mayHold)
    hold.add(bytes: 512)
    #expect(hold.hasAnswers && hold.mayHold)
    hold.reset()
    #expect(!hold.hasAnswers && !hold.mayHold)
  }

  @Test(
    "Many answers, or many bytes, do not wait", arguments: [(15, UInt64(1), true), (16, 1, false), (1, 256 << 10, false), (1, .max, false)])
  func limits(requests: Int, bytes: UInt64, mayHold: Bool) {
    var hold = InterruptHold()
    for _ in 0..<requests { hold.add(bytes: bytes) }
    #expect(hold.hasAnswers)
    #expect(hold.mayHold == mayHold)
  }

  @Test("A driver with one request at a time is not kept waiting, one time in many excepted") func givesUp() {
    var hold = InterruptHold()
    var rounds: [Bool] = []
    for _ in 0..<200 {
      var looked = false
      #expect(
        !hold.linger {
          looked = true; return false
        })
      rounds.append(looked)
    }
    #expect(rounds.prefix(4).allSatisfy { $0 })
    #expect(rounds.count { $0 } <= 8)
    // It is tried anew, and one success brings the habit back.
    while true {
      var looked = false
      if hold.linger({
        looked = true; return true
      }) {
        break
      }
      #expect(!looked)
    }
    for _ in 0..<4 {
      var looked = false
      #expect(
        !hold.linger {
          looked = true; return false
        })
      #expect(looked)
    }
  }

  @Test("What comes during the wait is seen") func finds() {
    var hold = InterruptHold()
    var looks = 0
    let found = hold.linger {
      looks += 1
      return looks == 50
    }
    #expect(found)
    #expect(looks == 50)
  }
}
