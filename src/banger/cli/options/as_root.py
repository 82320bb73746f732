"""Run commands as root that change the host, after the user has seen them."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence

from banger.cli.app.context import Context
from banger.cli.terminal.asking import ask
from banger.errors import ToolFailed


def run_as_root(
    commands: Sequence[Sequence[str]], arguments: Namespace, context: Context, *, hint: str
) -> bool:
    """Run commands as root, after asking; return whether they were run.

    Raises:
        ToolFailed: one of them failed; `hint` is the command that tries again.
    """
    from banger.host.programs import run_foreground

    prefix = () if os.geteuid() == 0 else ("sudo",)
    planned = [(*prefix, *command) for command in commands]
    for command in planned:
        context.say(f"$ {shlex.join(command)}")
    if not arguments.yes and not _confirm(context):
        return False
    for command in planned:
        status = run_foreground(command)
        if status != 0:
            raise ToolFailed(f"{shlex.join(command)} failed with status {status}.", hint=hint)
    return True


def _confirm(context: Context) -> bool:
    if not sys.stdin.isatty():
        context.say("Nothing was changed: there is no terminal to ask on; --yes does not ask.")
        return False
    if ask("Run these commands?"):
        return True
    context.say("Nothing was changed.")
    return False
