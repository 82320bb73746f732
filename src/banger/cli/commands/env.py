"""`env`: variables for a shell, by which programs reach VMs by their names."""

from __future__ import annotations

import os
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.errors import HostNotReady

VARIABLES = ("ALL_PROXY", "all_proxy")
"""Programs disagree about the case; curl takes both."""
SHELLS = {
    "sh": ("export {}={}", "unset {}"),
    "fish": ("set -gx {} {}", "set -e {}"),
    "csh": ("setenv {} {}", "unsetenv {}"),
}
"""How each kind of shell sets a variable, and forgets it."""
_KINDS = {"fish": "fish", "csh": "csh", "tcsh": "csh"}

_TEXT = """\
For a shell: eval "$(banger env)", or in fish: banger env | source. Programs
that take ALL_PROXY (curl, git, Python's requests with PySocks, and others) then
reach http://NAME.vm:PORT in any running VM, by the guest's own number.

Such programs reach nothing but VMs until banger env --unset. For one command:

    ( eval "$(banger env)"; curl http://calm-otter.vm:8000/ )"""


def _configure(parser: Parser) -> None:
    parser.add_argument(
        "--shell", choices=tuple(SHELLS), help="kind of shell (default: that in $SHELL, or sh)"
    )
    parser.add_argument("--unset", action="store_true", help="forget the variables again")
    parser.text = _TEXT


def _env(arguments: Namespace, context: Context) -> int:
    kind = arguments.shell or _KINDS.get(os.path.basename(os.environ.get("SHELL", "")), "sh")
    to_set, to_forget = SHELLS[kind]
    if arguments.unset:
        context.out("\n".join(to_forget.format(name) for name in VARIABLES))
        return 0
    proxy = f"socks5h://127.0.0.1:{_find_port(context)}"
    context.out("\n".join(to_set.format(name, proxy) for name in VARIABLES))
    return 0


def _find_port(context: Context) -> object:
    """Return the port of the proxy.

    Raises:
        HostNotReady: nothing listens.
    """
    with context.client() as client:
        names = client.call("names.show")
    assert isinstance(names, dict)
    if names["socks_port"] is None:
        fact = next((each for each in names["notices"] if "SOCKS" in each), None)
        fact = fact or "The SOCKS proxy to VMs is switched off (names.socks_port is 0)."
        raise HostNotReady(fact, hint="banger config show")
    return names["socks_port"]


COMMANDS = {"env": (_configure, _env)}
