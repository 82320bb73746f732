"""`setup --dns`: make this host's resolver forward names under `vm` to banger. Needs root once."""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.options.as_root import run_as_root
from banger.cli.options.names import find_port
from banger.errors import HostNotReady
from banger.model.names import CHECK_ADDRESS, CHECK_NAME

PATIENCE_S = 15.0
"""For a resolver that was restarted to answer."""
PAUSE_S = 0.3
AGAIN = "banger setup --dns"

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
    if not (delegation.is_there and _is_told()) and not _tell(delegation, arguments, context):
        return 0
    _require_resolved(delegation)
    context.say(f"This host resolves NAME.vm: {CHECK_NAME} has the address {CHECK_ADDRESS}.")
    return 0


def remove_dns(arguments: Namespace, context: Context) -> int:
    """Remove what `set_up_dns` made, after asking."""
    from banger.host.resolver import find_reload, plan_removal, probe_resolver

    found: list[tuple[str, tuple[tuple[str, ...], ...]]] = [
        (f"removed {path}", (("rm", "-f", str(path)), reload)) for path, reload in plan_removal()
    ]
    if not found and _is_told() and (resolver := probe_resolver()):
        found = [(f"{resolver} was reloaded.", (find_reload(resolver),))]
    if not found:
        context.say("This host's resolver has no configuration from banger.")
    for done, commands in found:
        if run_as_root(commands, arguments, context, hint=f"{AGAIN} --remove"):
            context.say(done)
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


def _tell(delegation: Delegation, arguments: Namespace, context: Context) -> bool:
    """Have the file installed, unless it is, and read; return whether that was done."""
    with tempfile.NamedTemporaryFile("w", prefix="banger-dns-") as file:
        file.write(delegation.content)
        file.flush()
        install = ("install", "-D", "-m", "644", file.name, str(delegation.path))
        commands = (*(() if delegation.is_there else (install,)), delegation.reload)
        return run_as_root(commands, arguments, context, hint=AGAIN)


def _is_told() -> bool:
    """Tell whether the resolver asks banger: it may not have read its files again yet."""
    from banger.host.resolver import look_up

    return look_up(CHECK_NAME) == CHECK_ADDRESS


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
