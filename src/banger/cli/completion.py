"""`completion`: shell scripts, made from the table of commands and their options. Pure."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.commands import COMMANDS as TABLE
from banger.cli.context import Context
from banger.cli.parser import Parser, UsageError
from banger.nearnames import find_near

SHELLS = ("bash", "zsh", "fish")


def _configure(parser: Parser) -> None:
    parser.add_argument("shell", metavar="SHELL", help=", ".join(SHELLS))
    parser.text = (
        "Where the script goes:\n"
        "  bash  ~/.local/share/bash-completion/completions/banger\n"
        '  zsh   "${fpath[1]}/_banger"\n'
        "  fish  ~/.config/fish/completions/banger.fish"
    )


def _completion(arguments: Namespace, context: Context) -> int:
    if arguments.shell not in SHELLS:
        near = find_near(arguments.shell, list(SHELLS))
        hint = f"banger completion {near or 'bash'}"
        raise UsageError(f"There is no completion for {arguments.shell!r}.", hint=hint)
    words = load_words()
    script = _fish(words) if arguments.shell == "fish" else _bash(words)
    if arguments.shell == "zsh":
        script = "#compdef banger\nautoload -U +X bashcompinit && bashcompinit\n" + script
    context.out(script.rstrip("\n"))
    return 0


def load_words() -> dict[str, list[str]]:
    """Return what may follow each beginning of a command line: `vm` -> `run`, `list` ..."""
    words: dict[str, list[str]] = {}
    for command in TABLE:
        for name in (command.path, *command.aliases):
            parts = name.split()
            for depth, part in enumerate(parts):
                following = words.setdefault(" ".join(parts[:depth]), [])
                if part not in following:
                    following.append(part)
            parser, _ = command.load()
            words[name] = [
                option for action in parser._actions for option in action.option_strings
            ] + words.get(name, [])
    return words


def _bash(words: dict[str, list[str]]) -> str:
    cases = "\n".join(
        f"        '{beginning}') words='{' '.join(following)}' ;;"
        for beginning, following in sorted(words.items())
    )
    return f"""\
_banger() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} beginning='' word words='' i
    for (( i = 1; i < COMP_CWORD; i++ )); do
        word=${{COMP_WORDS[i]}}
        [[ $word == -- ]] && return
        case "$beginning${{beginning:+ }}$word" in
            {_patterns(words)}) beginning="$beginning${{beginning:+ }}$word" ;;
        esac
    done
    case "$beginning" in
{cases}
    esac
    COMPREPLY=( $(compgen -W "$words" -- "$current") )
}}
complete -o default -F _banger banger
"""


def _patterns(words: dict[str, list[str]]) -> str:
    return "|".join(f"'{beginning}'" for beginning in sorted(words) if beginning)


def _fish(words: dict[str, list[str]]) -> str:
    lines = ["complete -c banger -f"]
    for beginning, following in sorted(words.items()):
        parts = beginning.split()
        seen = "; and ".join(f"__fish_seen_subcommand_from {part}" for part in parts)
        later = [word for word in following if not word.startswith("-")]
        if not parts:
            condition = "__fish_use_subcommand"
        elif later:
            condition = f"{seen}; and not __fish_seen_subcommand_from {' '.join(later)}"
        else:
            condition = seen
        for word in following:
            lines.append(f"complete -c banger -n '{condition}' {_fish_word(word)}")
    return "\n".join(lines) + "\n"


def _fish_word(word: str) -> str:
    if word.startswith("--"):
        return f"-l {word[2:]}"
    return f"-s {word[1:]}" if word.startswith("-") else f"-a {word}"


COMMANDS = {"completion": (_configure, _completion)}
