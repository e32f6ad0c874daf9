import CommandLine
import Testing

@testable import crosvm

struct CompletionTests {
  private func isInstalled(_ shell: String) -> Bool {
    File.output("command -v \(shell)") != nil
  }

  @Test func everyShellThatIsHereReadsItsCompletions() {
    let scripts = [
      "bash": BashCompletions(Table.crosvm).text, "zsh": ZshCompletions(Table.crosvm).text, "fish": FishCompletions(Table.crosvm).text,
    ]
    for (shell, text) in scripts where isInstalled(shell) {
      File.with(text, suffix: "." + shell) { path in
        #expect(File.output("\(shell) -n \(path) 2>&1") == "", "\(shell)")
      }
    }
  }

  @Test(arguments: [
    ("crosvm ", "run stop suspend resume powerbtn balloon balloon_stats disk net usb list create_qcow2 version help completions man"),
    ("crosvm --log-level debug r", "run resume"),
    ("crosvm run --blo", "--block"),
    ("crosvm run --irqchip=", "kernel split"),
    ("crosvm run --block=a,ro,q", "a,ro,queues= a,ro,queue-size="),
    ("crosvm run --block a,block-size=", "512 4096"),
    ("crosvm run --block a,ro,r", "a,ro,root"),
    ("crosvm run --serial stdout,c", "stdout,console"),
    ("crosvm completions ", "bash zsh fish"),
    ("crosvm run -- --blo", ""),
  ])
  func bashOffersWhatMayFollow(line: String, words: String) {
    guard isInstalled("bash") else { return }
    File.with(BashCompletions(Table.crosvm).text, suffix: ".bash") { path in
      let script = """
        source \(path); compopt() { :; }; COMP_LINE='\(line)'; COMP_POINT=${#COMP_LINE}; _crosvm; printf %s "${COMPREPLY[*]}"
        """
      File.with(script, suffix: ".bash") { script in
        #expect(File.output("bash \(script)") == words)
      }
    }
  }
}
