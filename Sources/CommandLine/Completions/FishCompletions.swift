/// Completions for fish.
public struct FishCompletions {
  /// The script.
  public let text: String

  /// Writes the script.
  ///
  /// - Parameter root: The program's table.
  public init(_ root: Command) {
    let lines = root.completionPaths.flatMap { FishCompletions.lines(root.name, $0) }
    text =
      "# Completions of \(root.name) for fish.\n" + FishCompletions.functions(root.name, root.completionPaths)
      + "complete -c \(root.name) -f\n" + lines.joined(separator: "\n") + "\n"
  }

  private static func lines(_ program: String, _ path: [Command]) -> [String] {
    guard let command = path.last else { return [] }
    var lines = command.visibleSubcommands.map { complete(program, path, "-a \(quoted($0.name))", $0.summary) }
    // The options of the first command are offered after every other, and so is --help.
    let options = command.groups.flatMap(\.options) + (path.count == 1 ? [Command.help] : [])
    lines += options.map { option in
      let short = option.short.map { "-s \($0) " } ?? ""
      return complete(program, path.count == 1 ? [] : path, "\(short)-l \(option.name)\(value(option.shape, program))", option.summary)
    }
    if command.subcommands.isEmpty, let positional = command.positionals.first {
      lines.append(complete(program, path, value(positional.shape, program, isOption: false), positional.summary))
    }
    return lines
  }

  private static func complete(_ program: String, _ path: [Command], _ rest: String, _ summary: String) -> String {
    let names = path.dropFirst().map(\.name)
    let condition = path.isEmpty ? "" : " -n \(quoted("__\(program)_in" + names.map { " " + $0 }.joined()))"
    return "complete -c \(program)\(condition) \(rest) -d \(quoted(firstSentence(summary)))"
  }

  private static func value(_ shape: ValueShape?, _ program: String, isOption: Bool = true) -> String {
    guard let shape else { return "" }
    let required = isOption ? " -r" : ""
    if let fields = shape.completionFields {
      return "\(required) -f -a \(quoted("(__\(program)_fields " + fields.map { "\"\($0)\"" }.joined(separator: " ") + ")"))"
    }
    switch shape.completion {
    case .none: return "\(required) -f"
    case .file: return "\(required) -F"
    case .directory: return "\(required) -f -a '(__fish_complete_directories)'"
    case .words(let words): return "\(required) -f -a \(quoted(words.joined(separator: " ")))"
    }
  }

  private static func quoted(_ text: String) -> String {
    "'" + String(text.flatMap { "\\'".contains($0) ? "\\\($0)" : String($0) }) + "'"
  }

  /// Lines of a `switch` over the commands so far: where the next word is one of theirs, it is the next one.
  private static func cases(_ paths: [[Command]]) -> String {
    paths.compactMap { path -> String? in
      guard let command = path.last, !command.visibleSubcommands.isEmpty else { return nil }
      let names = path.dropFirst().map(\.name).joined(separator: " ")
      let next = command.visibleSubcommands.map(\.name).joined(separator: " ")
      return "      case \(quoted(names))\n        contains -- $word \(next); and set -a path $word"
    }.joined(separator: "\n")
  }

  private static func functions(_ program: String, _ paths: [[Command]]) -> String {
    #"""
    # Whether the command line is that of one command, given by all its words; of none yet, without any.
    function __\#(program)_in
      set -l words (commandline -opc)
      set -l path
      for word in $words[2..-1]
        switch "$path"
    \#(cases(paths))
        end
      end
      test "$path" = "$argv"
    end

    # Offers values of a kind for a text, each after a prefix.
    function __\#(program)_offer -a prefix text kind
      switch $kind
        case none
        case file
          printf '%s\n' $prefix(__fish_complete_path $text)
        case directory
          printf '%s\n' $prefix(__fish_complete_directories $text)
        case boolean
          printf '%s\n' $prefix{true,false}
        case '*'
          printf '%s\n' $prefix(string split '|' $kind)
      end
    end

    # Offers keys and their values; the arguments are the keys with their kinds.
    function __\#(program)_fields
      set -l item (commandline -ct | string replace -r '^(--[a-z0-9-]+=|-[a-zA-Z]=?)' '')
      set -l head ''
      if string match -q '*,*' -- $item
        set head (string replace -r '[^,]*$' '' -- $item)
        set item (string replace -r '^.*,' '' -- $item)
      end
      if string match -q '*=*' -- $item
        set -l key (string replace -r '=.*' '' -- $item)
        for field in $argv
          if test (string replace -r '/.*' '' -- $field) = $key
            __\#(program)_offer $head$key= (string replace -r '^[^=]*=' '' -- $item) (string replace -r '^[^/]*/' '' -- $field)
          end
        end
        return
      end
      set -l first (string replace -r '^[^/]*/' '' -- $argv[1])
      if test -z $head
        __\#(program)_offer '' $item $first
        if test -z $item; and test $first = file
          return
        end
      end
      for field in $argv
        set -l key (string replace -r '/.*' '' -- $field)
        if string match -q -r ",$key"'[,=]' -- ,$head
          continue
        else if test -n $head; and string match -q '*/boolean' -- $field
          echo $head$key
        else
          echo $head$key=
        end
      end
    end

    """#
  }
}
