"""`env`: variables for a shell, by which programs reach VMs by their names."""

from __future__ import annotations

import contextlib
import os
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.options.names import find_port

VARIABLES = ("ALL_PROXY", "all_proxy")
"""Programs disagree about the case; curl takes both."""
SHELLS = {
    "sh": ("export {}={}", "unset {}"),
    "fish": ("set -gx {} {}", "set -e {}"),
    "csh": ("setenv {} {}", "unsetenv {}"),
}
"""How each kind of shell sets a variable, and forgets it."""
_KINDS = {"fish": "fish", "csh": "csh", "tcsh": "csh"} | dict.fromkeys(
    ("bash", "dash", "ksh", "sh", "zsh"), "sh"
)

_TEXT = """\
Run eval "$(banger env)", or in fish: banger env | source. Programs that honour
ALL_PROXY (curl, git, Python's requests with PySocks, and others) then reach
http://NAME.vm:PORT in any running VM. PORT is the guest's own port number.

The proxy leads to VMs only: until you evaluate banger env --unset, these
programs cannot reach anything else. To use it for a single command:

    ( eval "$(banger env)"; curl http://calm-otter.vm:8000/ )"""


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "--shell", choices=tuple(SHELLS), help="syntax of the shell (default: the calling shell's)"
    )
    parser.add_argument(
        "--unset", action="store_true", help="print commands that unset the variables"
    )
    parser.text = _TEXT


def _env(arguments: Namespace, context: Context) -> int:
    kind = arguments.shell or _find_kind()
    to_set, to_forget = SHELLS[kind]
    if arguments.unset:
        context.out("\n".join(to_forget.format(name) for name in VARIABLES))
        return 0
    port = find_port(context, "socks", what="The SOCKS proxy to VMs")
    proxy = f"socks5h://127.0.0.1:{port}"
    context.out("\n".join(to_set.format(name, proxy) for name in VARIABLES))
    return 0


def _find_kind() -> str:
    """Return the kind of the calling shell; of the login shell if the caller is no shell."""
    shell = os.environ.get("SHELL", "")
    with contextlib.suppress(OSError):
        caller = os.readlink(f"/proc/{os.getppid()}/exe")
        shell = caller if os.path.basename(caller) in _KINDS else shell
    return _KINDS.get(os.path.basename(shell), "sh")


COMMANDS = {"env": (_configure, _env)}
