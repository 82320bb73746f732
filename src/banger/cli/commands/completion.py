"""`completion`: shell scripts that ask `banger __complete` for candidates."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.errors import OperationFailed
from banger.nearnames import find_near

# The script splits the line itself: bash would also split words at : and =, and replaces only the
# text after the last of these.
_BASH = r"""_banger() {
    local line kind=none words begun cut
    read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
    begun=${words[-1]}
    cut=${begun%"${begun##*[:=]}"}
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :*) kind=${line#:} ;;
            *) line=${line%%$'\t'*} && COMPREPLY+=("${line#"$cut"}") ;;
        esac
    done < <("${words[0]/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null)
    [[ $kind == none ]] || compopt -o filenames
    case $kind in
        files) mapfile -t COMPREPLY < <(compgen -f -- "$begun") ;;
        dirs) mapfile -t COMPREPLY < <(compgen -d -- "$begun") ;;
    esac
}
complete -F _banger banger
"""

_ZSH = r"""#compdef banger
_banger() {
    local line kind=none
    local -a shown
    while IFS= read -r line; do
        case $line in
            :*) kind=${line#:} ;;
            *) shown+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done < <("${~words[1]}" __complete "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)
    (( $#shown )) && _describe -V 'banger' shown
    case $kind in
        files) _files ;;
        dirs) _files -/ ;;
    esac
}
if [[ $funcstack[1] == _banger ]]; then
    _banger "$@"
else
    compdef _banger banger
fi
"""

_FISH = r"""function __banger_complete
    set -l words (commandline -opc)
    set -l begun (commandline -ct)
    for line in ($words[1] __complete $words[2..] "$begun" 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path "$begun"
            case ':dirs'
                __fish_complete_directories "$begun"
            case ':*'
            case '*'
                echo $line
        end
    end
end
complete -c banger -f -k -a '(__banger_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

_TEXT = (
    "Completes commands, options, values, paths and the names of VMs, images, kernels\n"
    "and snapshots. `banger completion install` writes the script to where the shell\n"
    "looks for it; the shell is the one in $SHELL unless named."
)


def _configure(parser: Parser) -> None:
    add = parser.add_argument
    add("shell", metavar="SHELL|install", help=f"{', '.join(SCRIPTS)}, or install")
    add("install_for", nargs="?", metavar="SHELL", help="shell to install for")
    parser.text = _TEXT


def _completion(arguments: Namespace, context: Context) -> int:
    if arguments.shell == "install":
        shell = arguments.install_for or os.path.basename(os.environ.get("SHELL", ""))
        return _install(_require_known(shell), context)
    if arguments.install_for is not None:
        raise UsageError(
            f"banger completion {arguments.shell} takes no argument {arguments.install_for!r}.",
            hint=f"banger completion install {arguments.install_for}",
        )
    context.out(SCRIPTS[_require_known(arguments.shell)].rstrip("\n"))
    return 0


def _require_known(shell: str) -> str:
    if shell in SCRIPTS:
        return shell
    hint = f"banger completion {find_near(shell, SCRIPTS) or 'bash'}"
    raise UsageError(f"There is no completion for {shell!r}.", hint=hint)


def _install(shell: str, context: Context) -> int:
    path = _find_place(shell)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SCRIPTS[shell], "utf-8")
    except OSError as error:
        raise OperationFailed(
            f"{path} cannot be written: {error.strerror}.", hint=f"banger completion {shell}"
        ) from error
    context.say(f"wrote {path}; new shells will use it")
    if shell == "zsh":
        context.say(f"~/.zshrc needs, before compinit: fpath=({path.parent} $fpath)")
    return 0


def _find_place(shell: str) -> Path:
    """Return the file in which a shell looks for the user's completion of `banger`."""
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    places = {
        "bash": data / "bash-completion/completions/banger",
        "zsh": data / "zsh/site-functions/_banger",
        "fish": config / "fish/completions/banger.fish",
    }
    return places[shell]


COMMANDS = {"completion": (_configure, _completion)}
