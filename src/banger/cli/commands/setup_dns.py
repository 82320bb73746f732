"""`setup --dns`: make this host's resolver forward names under `vm` to banger. Needs root once."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence

from banger.cli.app.context import Context
from banger.cli.options.names import find_port
from banger.cli.terminal.asking import ask
from banger.errors import HostNotReady, ToolFailed
from banger.model.names import CHECK_ADDRESS, CHECK_NAME

PATIENCE_S = 15.0
"""For a resolver that was restarted to answer."""
PAUSE_S = 0.3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.host.resolver import Delegation, Resolver


def set_up_dns(arguments: Namespace, context: Context) -> int:
    """Show the file for the resolver that this host has; write it after asking, and check it."""
    from banger.host.resolver import plan_delegation

    delegation = plan_delegation(
        _require_resolver(), find_port(context, "dns", what="The DNS server of VMs")
    )
    _show(delegation, context)
    if not delegation.is_there:
        with tempfile.NamedTemporaryFile("w", prefix="banger-dns-") as file:
            file.write(delegation.content)
            file.flush()
            install = ("install", "-D", "-m", "644", file.name, str(delegation.path))
            if not _run_all((install, delegation.reload), arguments, context):
                return 0
    _require_resolved(delegation)
    context.say(f"This host resolves NAME.vm: {CHECK_NAME} has the address {CHECK_ADDRESS}.")
    return 0


def remove_dns(arguments: Namespace, context: Context) -> int:
    """Remove what `set_up_dns` made, after asking."""
    from banger.host.resolver import plan_removal

    found = list(plan_removal())
    if not found:
        context.say("This host's resolver has no configuration of banger.")
    for path, reload in found:
        if _run_all((("rm", "-f", str(path)), reload), arguments, context):
            context.say(f"removed {path}")
    return 0


def _require_resolver() -> Resolver:
    from banger.host.resolver import probe_resolver

    resolver = probe_resolver()
    if resolver is None:
        raise HostNotReady(
            "This host's resolver is neither systemd-resolved nor dnsmasq, and cannot forward a "
            "single domain; links, ssh and banger env work without it.",
            hint="banger env",
        )
    return resolver


def _show(delegation: Delegation, context: Context) -> None:
    context.say(f"{delegation.path}, for {delegation.resolver}:")
    context.out(delegation.content.rstrip("\n"))
    if delegation.is_there:
        context.say("The file is already installed.")
    elif delegation.replaced is not None:
        context.say("The file exists. This content will be replaced:")
        context.say(delegation.replaced.rstrip("\n"))


def _run_all(commands: Sequence[Sequence[str]], arguments: Namespace, context: Context) -> bool:
    """Run commands as root, after asking; return whether they were run.

    Raises:
        ToolFailed: one of them failed.
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
            raise ToolFailed(
                f"{shlex.join(command)} failed with status {status}.", hint="banger setup --dns"
            )
    return True


def _confirm(context: Context) -> bool:
    if not sys.stdin.isatty():
        context.say("Nothing was changed: there is no terminal to ask on; --yes does not ask.")
        return False
    if ask("Run these commands?"):
        return True
    context.say("Nothing was changed.")
    return False


def _require_resolved(delegation: Delegation) -> None:
    """Check that programs of this host get the address that the DNS server has.

    Raises:
        HostNotReady: they do not.
    """
    from banger.host.resolver import look_up

    end = time.monotonic() + PATIENCE_S
    while (found := look_up(CHECK_NAME)) != CHECK_ADDRESS:
        if time.monotonic() > end:
            raise HostNotReady(
                f"{CHECK_NAME} resolves to {found or 'no address'} on this host, although "
                f"{delegation.path} is installed.",
                hint=f"getent hosts {CHECK_NAME}",
            )
        time.sleep(PAUSE_S)
