/// Completions for zsh.
public struct ZshCompletions {
  /// The script.
  public let text: String

  /// Writes the script.
  ///
  /// - Parameter root: The program's table.
  public init(_ root: Command) {
    let name = "_" + root.name
    let functions = root.completionPaths.map { ZshCompletions.function(name, $0) }
    text =
      "#compdef \(root.name)\n# Completions of \(root.name) for zsh.\n\n" + ZshCompletions.fields(name) + "\n"
      + functions.joined(separator: "\n")
      + "\n" + ZshCompletions.start(name, root.name)
  }

  /// The function of one command.
  private static func function(_ name: String, _ path: [Command]) -> String {
    guard let command = path.last else { return "" }
    let all = path.reversed().enumerated().flatMap { $0.offset == 0 ? $0.element.options : $0.element.groups.flatMap(\.options) }
    var arguments = all.map { option($0, name) }
    var after = ""
    if command.visibleSubcommands.isEmpty {
      arguments += command.positionals.map { positional($0, name) }
    } else {
      arguments += ["'1:command:->command'", "'*::argument:->argument'"]
      after = subcommands(name, path, command.visibleSubcommands)
    }
    let lines = arguments.map { "    \($0)" }.joined(separator: " \\\n")
    let isOuter = !after.isEmpty
    return """
      \(functionName(name, path))() {
        local curcontext="$curcontext" state line
        typeset -A opt_args
        _arguments -S\(isOuter ? " -C" : "") \\
      \(lines)\(after)
      }

      """
  }

  private static func functionName(_ name: String, _ path: [Command]) -> String {
    ([name] + path.dropFirst().map(\.name)).joined(separator: "_")
  }

  /// What follows the first word that is no option.
  private static func subcommands(_ name: String, _ path: [Command], _ commands: [Command]) -> String {
    let words = commands.map { "        \(shellQuoted("\($0.name):\($0.summary)"))" }.joined(separator: "\n")
    let cases = commands.map { "      \($0.name)) \(functionName(name, path + [$0])) ;;" }.joined(separator: "\n")
    return """

        case $state in
          command)
            local -a commands=(
      \(words)
            )
            _describe command commands ;;
          argument)
            case $words[1] in
      \(cases)
            esac ;;
        esac
      """
  }

  private static func option(_ option: OptionDescription, _ name: String) -> String {
    let explanation = "[" + escaped(firstSentence(option.summary)) + "]"
    let exclusion = option.isRepeatable ? "*" : "(\(option.names.joined(separator: " ")))"
    guard let shape = option.shape else {
      // A flag has one effect, however often it is given.
      return spec("(\(option.names.joined(separator: " ")))", option.names, explanation)
    }
    let names = option.names.map { $0.hasPrefix("--") ? $0 + "=" : $0 + "+" }
    return spec(exclusion, names, explanation + ":" + escaped(shape.placeholder) + ":" + action(shape, name))
  }

  private static func spec(_ prefix: String, _ names: [String], _ rest: String) -> String {
    guard names.count > 1 else { return shellQuoted(prefix + (names.first ?? "") + rest) }
    return shellQuoted(prefix) + "{" + names.joined(separator: ",") + "}" + shellQuoted(rest)
  }

  private static func positional(_ positional: PositionalDescription, _ name: String) -> String {
    let place = positional.isRepeatable ? "*:" : ":"
    let optional = positional.isRequired || positional.isRepeatable ? "" : ":"
    return shellQuoted("\(place)\(optional)\(escaped(positional.name)):\(action(positional.shape, name))")
  }

  /// What offers the values. The space before the function keeps `_arguments` from adding options of `compadd`.
  private static func action(_ shape: ValueShape, _ name: String) -> String {
    if let fields = shape.completionFields {
      return " \(name)-fields " + fields.map(shellQuoted).joined(separator: " ")
    }
    switch shape.completion {
    case .none: return " "
    case .file: return "_files"
    case .directory: return "_files -/"
    case .words(let words): return "(" + words.joined(separator: " ") + ")"
    }
  }

  /// Text in which no character has a meaning for `_arguments`.
  private static func escaped(_ text: String) -> String {
    String(text.flatMap { "\\:[]".contains($0) ? "\\\($0)" : String($0) })
  }

  /// A function that offers keys and their values; its arguments are the keys with their kinds.
  private static func fields(_ name: String) -> String {
    #"""
    \#(name)-offer() {
      case $1 in
        none) ;;
        file) _files ;;
        directory) _files -/ ;;
        boolean) compadd true false ;;
        *) compadd -- ${(s:|:)1} ;;
      esac
    }

    \#(name)-fields() {
      local given="" field key
      if [[ $PREFIX == *,* ]]; then
        given=",${PREFIX%,*},"
        compset -P '*,'
      fi
      if [[ $PREFIX == *=* ]]; then
        key=${PREFIX%%=*}
        compset -P '*='
        for field; do
          [[ ${field%%/*} == $key ]] && \#(name)-offer ${field#*/}
        done
        return
      fi
      [[ -z $given ]] && \#(name)-offer ${1#*/}
      [[ -z $given && -z $PREFIX && ${1#*/} == file ]] && return
      for field; do
        key=${field%%/*}
        [[ $given == *,${key}[,=]* ]] && continue
        if [[ -n $given && ${field#*/} == boolean ]]; then
          compadd -q -S , -- $key
        else
          compadd -S = -- $key
        fi
      done
    }

    """#
  }

  /// What runs when the file is loaded as a function, and what runs when it is read.
  private static func start(_ name: String, _ program: String) -> String {
    """
    if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
      \(name) "$@"
    else
      compdef \(name) \(program)
    fi

    """
  }
}
