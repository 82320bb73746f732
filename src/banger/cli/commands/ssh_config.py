"""`ssh-config`: have the user's ssh client know VMs by name.

Writes `layout.ssh_config`, and one line of `~/.ssh/config`, only when asked to (hazard G4).
"""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.options.ssh import plan_options, quote, render_config
from banger.client.sshproxy import find_program
from banger.errors import OperationFailed
from banger.host.files import ensure_private_dir, write_atomic

_TEXT = """\
Without options, prints the configuration. --install writes it to a file of
banger's own and adds one Include line at the top of ~/.ssh/config; --uninstall
removes both. After --install, `ssh NAME.vm`, scp, rsync, git and editors reach
VMs; the VMs need no ssh server."""


def _configure(parser: Parser) -> None:
    add = parser.add_argument
    add("--install", action="store_true", help="add the configuration to ~/.ssh/config")
    add("--uninstall", action="store_true", help="undo --install")
    parser.text = _TEXT


def _ssh_config(arguments: Namespace, context: Context) -> int:
    if arguments.install and arguments.uninstall:
        raise UsageError("--install and --uninstall exclude each other.")
    layout = context.layout
    options = plan_options(
        python=sys.executable, program=find_program(), known_hosts=layout.ssh_known_hosts_name
    )
    own, users = layout.ssh_config, Path(os.path.expanduser("~/.ssh/config"))
    if arguments.install:
        _install(own, render_config(options), users)
        context.say(f"{users} includes {own}. To connect: ssh NAME.vm")
    elif arguments.uninstall:
        _uninstall(own, users)
        context.say(f"{users} does not include banger's configuration.")
    else:
        context.out(render_config(options).removesuffix("\n"))
    return 0


def _install(own: Path, config: str, users: Path) -> None:
    """Write our file, then the line that includes it. Idempotent."""
    try:
        ensure_private_dir(own.parent)
        ensure_private_dir(users.parent)
        write_atomic(own, config.encode())
        _edit(users, lambda content: include_file(content, str(own)))
    except OSError as error:
        raise _unwritable(users, error) from error


def _uninstall(own: Path, users: Path) -> None:
    """Remove the line, then our file. Idempotent."""
    try:
        _edit(users, lambda content: exclude_file(content, str(own)))
        own.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(users, error) from error


def _unwritable(users: Path, error: OSError) -> OperationFailed:
    return OperationFailed(
        f"{users} cannot be changed: {error.strerror}.",
        hint=f"ls -la {shlex.quote(str(users.parent))}",
    )


def _edit(users: Path, change: Callable[[bytes], bytes]) -> None:
    """Replace the content of the user's file in one step; keep its mode, follow a link to it."""
    target = Path(os.path.realpath(users))
    exists = target.exists()
    content = target.read_bytes() if exists else b""
    changed = change(content)
    if changed != content:
        mode = target.stat().st_mode & 0o777 if exists else 0o600
        write_atomic(target, changed, mode=mode)


def include_file(content: bytes, path: str) -> bytes:
    """Return the user's configuration with our line at its top, where it is for every host. Pure.

    Further down, the line would belong to the `Host` block above it.
    """
    return _line(path) + exclude_file(content, path)


def exclude_file(content: bytes, path: str) -> bytes:
    """Return the user's configuration without our line; all else stays byte for byte. Pure."""
    lines = content.splitlines(keepends=True)
    return b"".join(line for line in lines if line.strip() != _line(path).strip())


def _line(path: str) -> bytes:
    return f"Include {quote(path)}\n".encode()


COMMANDS = {"ssh-config": (_configure, _ssh_config)}
