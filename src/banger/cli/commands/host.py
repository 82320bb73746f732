"""`doctor`, `setup`: check this host, and prepare it. They need no daemon, but for `--dns`."""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.terminal.output import format_json, printable
from banger.errors import ConfigInvalid, HostNotReady
from banger.words import SERVED_NETWORKS

COLOURS = {"ok": "32", "warn": "33", "fail": "31"}
UNDONE = " or ".join(("--dns", *(f"--{word}" for word in SERVED_NETWORKS)))
"""What `setup --remove` undoes."""
SERVICE_TEXT = """

With --{0}, shows the systemd unit of the service behind --network {0};
asks, and installs and starts it with sudo. It serves you alone, and changes no
rules of another firewall."""


def _configure_doctor(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.text = "Exits with status 6 if something that banger needs is missing."


def _doctor(arguments: Namespace, context: Context) -> int:
    from banger.doctor.checks import is_ready, probe_host
    from banger.host.setup import find_setup_command

    checks = probe_host(context.layout, os.environ)
    install = find_setup_command()
    ready = is_ready(checks)
    if arguments.json:
        document = {
            "ready": ready,
            "install": install,
            "checks": [
                {"name": c.name, "state": c.state.value, "fact": c.fact, "hint": c.hint}
                for c in checks
            ],
        }
        context.out(format_json(document))
        return 0 if ready else HostNotReady.exit_code
    for check in checks:
        context.out(f"{_mark(check.state.value)}  {check.name:<12}  {printable(check.fact)}")
        if check.hint:
            context.out(f"{'':<20}{printable(check.hint)}")
    context.say(_verdict(ready=ready, install=install))
    return 0 if ready else HostNotReady.exit_code


def _verdict(*, ready: bool, install: str | None) -> str:
    verdict = "This host is ready." if ready else "This host is not ready."
    return f"{verdict} This installs what is missing:\n  {install}" if install else verdict


def _mark(state: str) -> str:
    text = f"{state:<4}"
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{COLOURS[state]}m{text}\x1b[0m"


def _configure_setup(parser: Parser) -> None:
    parser.add_argument(
        "--yes", action="store_true", help="run the command without asking (with sudo)"
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--dns", action="store_true", help="make this host's resolver forward NAME.vm to banger"
    )
    for word, what in SERVED_NETWORKS.items():
        either.add_argument(
            f"--{word}",
            action="store_const",
            const=word,
            dest="network",
            help=f"{what} (with sudo)",
        )
    parser.add_argument("--remove", action="store_true", help=f"with {UNDONE}: undo the change")
    parser.text = (
        "Without --yes, only prints the command that installs what is missing.\n\n"
        "With --dns, shows the file that makes this host's resolver (systemd-resolved,\n"
        "dnsmasq, or NetworkManager with dnsmasq) forward names under vm to banger; asks,\n"
        "writes the file with sudo, and checks that NAME.vm resolves. The file applies\n"
        "to all users of the host, and contains the port of your DNS server."
        + "".join(SERVICE_TEXT.format(word) for word in SERVED_NETWORKS)
    )


def _setup(arguments: Namespace, context: Context) -> int:
    from banger.host.packages import RUNTIME, find_missing
    from banger.host.setup import find_setup_command, require_setup, run_setup

    if arguments.remove and not (arguments.dns or arguments.network):
        raise UsageError(f"--remove undoes {UNDONE}.", hint="banger setup --dns --remove")
    if arguments.network:
        from banger.cli.commands.setup_network import remove_network, set_up_network

        act = remove_network if arguments.remove else set_up_network
        return act(arguments.network, arguments, context)
    if arguments.dns:
        from banger.cli.commands.setup_dns import remove_dns, set_up_dns

        return (remove_dns if arguments.remove else set_up_dns)(arguments, context)
    for tool in find_missing(RUNTIME):
        where = f", from {tool.source}" if tool.source else ""
        need = "missing" if tool.required else "optional"
        context.say(f"{need}: {tool.program} ({tool.why}{where})")
    if arguments.yes:
        run_setup(context.say)
    elif command := find_setup_command():
        context.out(command)
    require_setup()
    context.say("Nothing that banger needs is missing.")
    _say_upgrade(context)
    return 0


def _say_upgrade(context: Context) -> None:
    """Name the newer VMM of the distribution, if guests are emulated by an old one."""
    from banger.config import load_settings
    from banger.doctor.acceleration import UPGRADE, probe_acceleration

    with contextlib.suppress(ConfigInvalid):  # doctor reports an invalid configuration
        settings = load_settings(context.layout.config_file, os.environ)
        for check in probe_acceleration(settings):
            if check.name == UPGRADE:
                context.say(printable(check.fact))
                context.say(f"  {printable(str(check.hint))}")


COMMANDS = {"doctor": (_configure_doctor, _doctor), "setup": (_configure_setup, _setup)}
