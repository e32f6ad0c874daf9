/// Completions for bash. They need nothing besides bash 4.
public struct BashCompletions {
  /// The script.
  public let text: String

  /// Writes the script.
  ///
  /// - Parameter root: The program's table.
  public init(_ root: Command) {
    let name = "_" + BashCompletions.identifier(root.name)
    let paths = root.completionPaths
    text = [
      "# Completions of \(root.name) for bash.",
      BashCompletions.data(name, paths),
      BashCompletions.helpers(name),
      BashCompletions.main(name, root.name),
    ].joined(separator: "\n")
  }

  private static func identifier(_ name: String) -> String {
    String(name.map { $0 == "-" ? "_" : $0 })
  }

  /// Functions that say what the table says.
  private static func data(_ name: String, _ paths: [[Command]]) -> String {
    var options: [String] = []
    var values: [String] = []
    var commands: [String] = []
    for path in paths {
      guard let command = path.last else { continue }
      // An inner command takes the options of those above it too.
      let all = path.reversed().enumerated().flatMap { $0.offset == 0 ? $0.element.options : $0.element.groups.flatMap(\.options) }
      options.append("    \(shellQuoted(path.name))) echo \(shellQuoted(all.map { "--" + $0.name }.joined(separator: " "))) ;;")
      for option in all {
        guard let shape = option.shape else { continue }
        let patterns = option.names.map { shellQuoted("\(path.name) \($0)") }.joined(separator: "|")
        values.append("    \(patterns)) echo \(shellQuoted(kind(shape))) ;;")
      }
      if !command.visibleSubcommands.isEmpty {
        commands.append(
          "    \(shellQuoted(path.name))) echo \(shellQuoted(command.visibleSubcommands.map(\.name).joined(separator: " "))) ;;")
      } else if let positional = command.positionals.first {
        values.append("    \(shellQuoted("\(path.name) argument"))) echo \(shellQuoted(kind(positional.shape))) ;;")
      }
    }
    return [function(name + "_options", options), function(name + "_commands", commands), function(name + "_kind", values)]
      .joined(separator: "\n")
  }

  private static func function(_ name: String, _ cases: [String]) -> String {
    "\(name)() {\n  case $1 in\n\(cases.joined(separator: "\n"))\n  esac\n}\n"
  }

  private static func kind(_ shape: ValueShape) -> String {
    shape.completionFields.map { "fields " + $0.joined(separator: " ") } ?? shape.completionKind
  }

  /// Functions that offer values.
  private static func helpers(_ name: String) -> String {
    #"""
    # Offers what begins with $2 and is of kind $3, each after $1.
    \#(name)_offer() {
      local found
      case $3 in
        none) return ;;
        file) compopt -o filenames; mapfile -t found < <(compgen -f -- "$2") ;;
        directory) compopt -o filenames; mapfile -t found < <(compgen -d -- "$2") ;;
        boolean) mapfile -t found < <(compgen -W 'true false' -- "$2") ;;
        *) mapfile -t found < <(compgen -W "${3//|/ }" -- "$2") ;;
      esac
      COMPREPLY+=("${found[@]/#/"$1"}")
    }

    # Offers keys and their values for the value $2, each after $1; the other arguments are the keys with their kinds.
    \#(name)_offer_fields() {
      local base=$1 item=$2 head='' key kind field
      shift 2
      if [[ $item == *,* ]]; then
        head=${item%,*},
        item=${item##*,}
      fi
      if [[ $item == *=* ]]; then
        for field; do
          if [[ ${field%%/*} == "${item%%=*}" ]]; then
            \#(name)_offer "$base$head${item%%=*}=" "${item#*=}" "${field#*/}"
          fi
        done
        return
      fi
      if [[ ! $head ]]; then
        \#(name)_offer "$base" "$item" "${1#*/}"
        [[ $item || ${1#*/} != file ]] || return
      fi
      for field; do
        key=${field%%/*}
        kind=${field#*/}
        [[ $key == "$item"* && ,$head != *,"$key"[,=]* ]] || continue
        if [[ $head && $kind == boolean ]]; then
          COMPREPLY+=("$base$head$key")
        else
          COMPREPLY+=("$base$head$key=")
        fi
        compopt -o nospace
      done
    }

    # Offers values for option or argument $1, which begin with $3, each after $2.
    \#(name)_offer_values() {
      local kind
      kind=$(\#(name)_kind "$1")
      if [[ $kind == fields\ * ]]; then
        local -a fields
        read -ra fields <<< "${kind#fields }"
        \#(name)_offer_fields "$2" "$3" "${fields[@]}"
      else
        \#(name)_offer "$2" "$3" "${kind:-none}"
      fi
    }

    """#
  }

  /// The function that bash calls.
  private static func main(_ name: String, _ program: String) -> String {
    #"""
    \#(name)() {
      local line=${COMP_LINE:0:COMP_POINT} current='' path='\#(program)' pending='' ended='' word mark prefix=''
      local -a words
      COMPREPLY=()
      read -ra words <<< "$line"
      if [[ $line != *[[:space:]] ]]; then
        current=${words[-1]}
        unset 'words[-1]'
      fi
      for word in "${words[@]:1}"; do
        if [[ $pending ]]; then
          pending=''
        elif [[ $ended ]]; then
          continue
        elif [[ $word == -- ]]; then
          ended=1
        elif [[ $word == -* ]]; then
          [[ $(\#(name)_kind "$path $word") ]] && pending=$word
        elif [[ " $(\#(name)_commands "$path") " == *" $word "* ]]; then
          path+=" $word"
        fi
      done
      if [[ $pending ]]; then
        \#(name)_offer_values "$path $pending" '' "$current"
      elif [[ ! $ended && $current == --*=* ]]; then
        \#(name)_offer_values "$path ${current%%=*}" "${current%%=*}=" "${current#*=}"
      elif [[ ! $ended && $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(\#(name)_options "$path")" -- "$current")
      elif [[ $(\#(name)_commands "$path") ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(\#(name)_commands "$path")" -- "$current")
      else
        \#(name)_offer_values "$path argument" '' "$current"
      fi
      # Bash replaces only what follows the last of these characters.
      for mark in = :; do
        if [[ $COMP_WORDBREAKS == *$mark* && $current == *$mark* ]]; then
          word=${current%"${current##*$mark}"}
          (( ${#word} > ${#prefix} )) && prefix=$word
        fi
      done
      COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
    }
    complete -F \#(name) \#(program)

    """#
  }
}
