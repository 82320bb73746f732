"""`vm network show/allow/deny/profile/limit/logs`: what may leave a VM."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from banger.cli.app import values
from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.options.vm import EGRESS_PROFILES
from banger.cli.terminal.output import Column, format_age, format_json, render_table, terminal_width
from banger.sizes import format_size
from banger.words import NO_NETWORK

if TYPE_CHECKING:
    from banger.api.documents import Egress, SecretView
    from banger.client import Client

COLUMNS = (
    Column("TARGET", is_vital=True),
    Column("TIMES"),
    Column("LAST"),
    Column("WHY", spare=2),
    Column("ALLOW WITH", spare=1),
)
_TEXT = """\
TARGET is ADDRESS[/BITS][:PORT[-PORT]][/tcp|/udp], or host:PORT for a port on
this host's loopback, which the VM reaches as host.vm. ADDRESS is an IPv4
address; the rule also applies to the IPv6 address that contains it, if any.
With the egress profiles allowlist and registries, TARGET can also be
NAME[:PORT[-PORT]] or *.NAME (ports 80 and 443 by default), or @PRESET, such as
@python, @packages or @github: the names that the profile registries allows, by
language, kind or host. The rule is placed before the VM's other rules and is
kept with the VM. TCP connections that are no longer allowed are reset at once."""
_PROFILES = """\
The profile decides about connections that no rule matches: public allows public
addresses, registries allows public package registries and code hosts, none and
allowlist allow nothing. With allowlist and registries, VMs reach hosts by name,
over TCP only. Stop the VM to change between these two and the others; rules by
name are removed with the change to public or none."""


def _configure_ref(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _configure_change(parser: Parser) -> None:
    _configure_ref(parser)
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="such as 203.0.113.7:443")
    parser.text = _TEXT


def _change(verdict: str) -> Callable[[Namespace, Context], int]:
    def change(arguments: Namespace, context: Context) -> int:
        rules = [f"{verdict} {target}" for target in arguments.targets]
        return _apply({"ref": arguments.ref, "rules": rules}, arguments, context)

    return change


def _configure_profile(parser: Parser) -> None:
    _configure_ref(parser)
    parser.add_argument(
        "profile", choices=EGRESS_PROFILES, metavar="PROFILE", help=", ".join(EGRESS_PROFILES)
    )
    parser.text = _PROFILES


def _set_profile(arguments: Namespace, context: Context) -> int:
    return _apply({"ref": arguments.ref, "profile": arguments.profile}, arguments, context)


def _configure_limit(parser: Parser) -> None:
    _configure_ref(parser)
    parser.add_argument("size", type=_bandwidth, metavar="SIZE", help="such as 10M; none: no limit")
    parser.text = "Limits the bandwidth of the VM's network per second, in each direction."


def _bandwidth(untrusted_text: str) -> int:
    return 0 if untrusted_text == "none" else values.size_mib(untrusted_text)


def _set_limit(arguments: Namespace, context: Context) -> int:
    return _apply({"ref": arguments.ref, "bandwidth_mib": arguments.size}, arguments, context)


def _apply(change: Mapping[str, object], arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        egress = client.call("egress.change", change)
    _print(context, egress, as_json=arguments.json)
    return 0


def _show(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        view = client.call("vm.show", {"ref": arguments.ref})
        secrets = _list_secrets(client, view["secrets"])
    if view["network"] == NO_NETWORK:
        context.say(f"{view['name']} has no network")
        if arguments.json:
            context.out(format_json(None))
        return 0
    if arguments.json:
        told = [{key: each[key] for key in ("name", "hosts", "headers")} for each in secrets]
        context.out(format_json({**view["egress"], "secrets": told}))
    else:
        _print(context, view["egress"], secrets)
    return 0


def _list_secrets(client: Client, names: Collection[str]) -> list[SecretView]:
    if not names:
        return []
    return [each for each in client.call("secret.list") if each["name"] in names]


def _print(
    context: Context, egress: Egress, secrets: Iterable[SecretView] = (), *, as_json: bool = False
) -> None:
    """Print a policy in the order in which it decides."""
    if as_json:
        context.out(format_json(egress))
        return
    for rule in egress["rules"]:
        context.out(rule)
    for secret in secrets:
        hosts, headers = (", ".join(secret[key]) for key in ("hosts", "headers"))
        context.out(f"secret {secret['name']} for {hosts} in {headers}")
    context.out(f"profile {egress['profile']}")
    if egress["bandwidth_mib"]:
        context.out(f"bandwidth {format_size(egress['bandwidth_mib'])} per second")


def _log(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        denied = client.call("egress.log", {"ref": arguments.ref})
    if arguments.json:
        context.out(format_json(denied))
        return 0
    now, prefix = time.time(), f"banger vm network allow {arguments.ref} "
    rows = [
        [
            each["target"],
            str(each["times"]),
            format_age(now - each["last_at"]),
            each["why"] or "-",
            prefix + each["rule"].removeprefix("allow ") if each["rule"] else "-",
        ]
        for each in denied
    ]
    context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


COMMANDS = {
    "vm network show": (_configure_ref, _show),
    "vm network allow": (_configure_change, _change("allow")),
    "vm network deny": (_configure_change, _change("deny")),
    "vm network profile": (_configure_profile, _set_profile),
    "vm network limit": (_configure_limit, _set_limit),
    "vm network logs": (_configure_ref, _log),
}
