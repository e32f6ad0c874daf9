import CommandLine
import Testing

@testable import crosvm

struct CompletionTests {
  /// What a script prints that gets the path of the completions and a command line.
  private func words(_ shell: String, _ completions: String, _ script: String, _ line: String) -> String? {
    var words: String?
    File.with(completions, suffix: ".\(shell)") { completions in
      #expect(File.output("\(shell) -n \(completions) 2>&1") == "")
      File.with(script, suffix: ".\(shell)") { script in
        words = File.output("\(shell) \(script) \(completions) '\(line)'")
      }
    }
    return words
  }

  @Test(
    .enabled(if: File.isInstalled("bash"), "needs the package bash"),
    arguments: [
      ("crosvm ", "run stop suspend resume powerbtn balloon balloon_stats disk net usb list create_qcow2 version help completions man"),
      ("crosvm --log-level debug r", "run resume"),
      ("crosvm run --blo", "--block"),
      ("crosvm run --irqchip=", "kernel split"),
      ("crosvm run --block=a,ro,q", "a,ro,queues= a,ro,queue-size="),
      ("crosvm run --block a,block-size=", "512 4096"),
      ("crosvm run --block a,ro,r", "a,ro,root"),
      ("crosvm run --serial stdout,c", "stdout,console"),
      ("crosvm completions ", "bash zsh fish"),
      ("crosvm disk re", "resize repair"),
      ("crosvm disk convert --sou", "--source-format"),
      ("crosvm run -- --blo", ""),
    ])
  func bashOffersWhatMayFollow(line: String, expected: String) {
    let script = #"""
      source "$1"; compopt() { :; }; COMP_LINE=$2; COMP_POINT=${#COMP_LINE}; _crosvm; printf %s "${COMPREPLY[*]}"
      """#
    #expect(words("bash", BashCompletions(Table.crosvm).text, script, line) == expected)
  }

  @Test(
    .enabled(if: File.isInstalled("zsh"), "needs the package zsh"),
    arguments: [
      ("crosvm ", "balloon balloon_stats completions create_qcow2 disk help list man net powerbtn resume run stop suspend usb version"),
      ("crosvm --log-level debug r", "resume run"),
      ("crosvm run --blo", "--block"),
      ("crosvm run --irqchip=", "kernel split"),
      // What comes before is there already; "=" is a suffix.
      ("crosvm run --block=a,ro,q", "queue-size queues"),
      ("crosvm run --block a,block-size=", "4096 512"),
      ("crosvm run --block a,ro,r", "root"),
      ("crosvm run --serial stdout,c", "console"),
      ("crosvm completions ", "bash fish zsh"),
      ("crosvm disk re", "repair resize"),
      ("crosvm disk convert --sou", "--source-format"),
      ("crosvm run -- --blo", ""),
    ])
  func zshOffersWhatMayFollow(line: String, expected: String) {
    // Completion needs a shell at a terminal, in which a key is pressed. It notes what is added to the list, and ends afterwards.
    let script = #"""
      zmodload zsh/zpty
      inner=$(mktemp) offers=$(mktemp)
      cat >$inner <<'END'
      PROMPT=
      autoload -U compinit
      compinit -D -u
      bindkey '^I' complete-word
      compadd() {
        local -a hits
        [[ " ${@[1,(i)(-|--)]} " == *\ -(O|A|D)\ * ]] || { builtin compadd -A hits "$@"; print -rl -- $hits >>$offers; }
        builtin compadd "$@"
      }
      finish() { exit; }
      comppostfuncs=(finish)
      END
      zpty z zsh -f -i
      zpty -w z "offers=$offers; source $inner; source $1; print rea''dy"
      while zpty -r z line; do [[ $line == *ready* ]] && break; done
      zpty -w -n z "$2"$'\t'
      while zpty -r z line; do :; done
      offered=(${(o)${(fu)"$(<$offers)"}})
      rm $inner $offers
      print -rn -- $offered
      """#
    #expect(words("zsh", ZshCompletions(Table.crosvm).text, script, line) == expected)
  }

  @Test(
    .enabled(if: File.isInstalled("fish"), "needs the package fish"),
    arguments: [
      ("crosvm ", "balloon balloon_stats completions create_qcow2 disk help list man net powerbtn resume run stop suspend usb version"),
      ("crosvm --log-level debug r", "resume run"),
      ("crosvm run --blo", "--block"),
      ("crosvm run --irqchip=", "--irqchip=kernel --irqchip=split"),
      ("crosvm run --block=a,ro,q", "--block=a,ro,queue-size= --block=a,ro,queues="),
      ("crosvm run --block a,block-size=", "a,block-size=4096 a,block-size=512"),
      ("crosvm run --block a,ro,r", "a,ro,root"),
      ("crosvm run --serial stdout,c", "stdout,console"),
      ("crosvm completions ", "bash fish zsh"),
      ("crosvm disk re", "repair resize"),
      ("crosvm disk convert --sou", "--source-format"),
      ("crosvm run -- --blo", ""),
    ])
  func fishOffersWhatMayFollow(line: String, expected: String) {
    let script = #"""
      source $argv[1]
      echo -n (complete -C $argv[2] | string replace -r '\t.*' '' | LC_ALL=C sort)
      """#
    #expect(words("fish", FishCompletions(Table.crosvm).text, script, line) == expected)
  }
}
