"""The helper as a host has it: a file that root owns, and a unit of systemd. Changes nothing.

The file is an archive of the helper's modules as they are here. What runs as root must not be a
file that the user can change, so it is none of this installation.
"""

from __future__ import annotations

import io
from pathlib import Path

from banger.errors import BangerError, HostNotReady
from banger.host.setup import require_programs
from banger.network.bridge.addresses import BRIDGE, DNS_SOCKETS, NETWORK6
from banger.network.bridge.firewalls import Firewall
from banger.network.bridge.nameserver import has_ipv6
from banger.network.bridge.process import LOG, SET_UP, describe_network, find_firewall
from banger.network.bridge.tools import TOOLS
from banger.network.bridge.wire import SOCKET
from banger.network.port import Finding

PROGRAM = Path("/usr/local/lib/banger-bridge.pyz")
SERVICE = "banger-bridge.service"
UNIT = Path("/etc/systemd/system") / SERVICE
PYTHON = ("/usr/bin/python3", "-I")
SYSTEMD = Path("/run/systemd/system")
"""Is there where systemd runs (sd_booted(3))."""
MODULES = ("addresses", "firewalls", "links", "netlink", "nft", "server", "wire")
PACKAGE = "banger/network/bridge"
_MAIN = "from banger.network.bridge.server import main\n\nmain()\n"
_UNIT = """\
[Unit]
Description=Bridge for the VMs of user {uid} (banger)
After=nftables.service

[Service]
ExecStart={command}
RuntimeDirectory=banger-bridge
Restart=on-failure
CapabilityBoundingSet=CAP_NET_ADMIN CAP_CHOWN
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET
RestrictNamespaces=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""

REMEDIES = {
    Firewall.DOCKER: f"sudo iptables -I DOCKER-USER -i {BRIDGE} -j ACCEPT && sudo iptables "
    f"-I DOCKER-USER -o {BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    Firewall.DOCKER6: f"sudo ip6tables -I DOCKER-USER -i {BRIDGE} -j ACCEPT",
    Firewall.UFW: f"sudo ufw route allow in on {BRIDGE} "
    f"&& sudo ufw allow in on {BRIDGE} to any port {DNS_SOCKETS}",
    Firewall.FIREWALLD: f"sudo firewall-cmd --permanent --zone=trusted --add-interface={BRIDGE} "
    "&& sudo firewall-cmd --reload",
    Firewall.OTHER: "sudo nft list ruleset",
}
"""What lets the bridge's guests out, to each other where br_netfilter is loaded, and ask the host
for names. Our own rules still judge them."""


def build_program() -> bytes:
    """Return the archive: the same bytes of the same sources."""
    import zipfile  # only where a bridge is set up: a third of a MiB

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for package in ("banger", "banger/network", PACKAGE):
            archive.writestr(zipfile.ZipInfo(f"{package}/__init__.py"), "")
        for name in MODULES:
            source = Path(__file__).with_name(f"{name}.py").read_bytes()
            archive.writestr(zipfile.ZipInfo(f"{PACKAGE}/{name}.py"), source)
        archive.writestr(zipfile.ZipInfo("__main__.py"), _MAIN)
    return file.getvalue()


def render_unit(uid: int) -> str:
    """Return the unit that runs the helper for this user."""
    return _UNIT.format(uid=uid, command=" ".join((*PYTHON, str(PROGRAM), "--user", str(uid))))


def require_host(unit: str) -> None:
    """Check that root can install this unit here, and that the place is free.

    Raises:
        HostNotReady, ToolMissing: it is not so.
    """
    require_programs(*(tool.program for tool in TOOLS))
    if not (SYSTEMD.is_dir() and Path(PYTHON[0]).exists()):
        raise HostNotReady(
            f"The bridge's helper needs systemd and {PYTHON[0]} on this host.",
            hint="banger vm run --network user",
        )
    if UNIT.exists() and _find_command(UNIT.read_text("utf-8", "replace")) != _find_command(unit):
        raise HostNotReady(
            "The bridge of this host is set up for another user.", hint=f"systemctl cat {SERVICE}"
        )


def _find_command(unit: str) -> str | None:
    return next((line for line in unit.splitlines() if line.startswith("ExecStart=")), None)


def is_installed() -> bool:
    """Tell whether there is anything to remove."""
    return PROGRAM.exists()


def plan_install(program: Path, unit: Path) -> tuple[tuple[str, ...], ...]:
    """Return the commands for root that put these two files into force."""
    return (
        ("install", "-D", "-m", "644", str(program), str(PROGRAM)),
        ("install", "-m", "644", str(unit), str(UNIT)),
        ("systemctl", "daemon-reload"),
        ("systemctl", "enable", SERVICE),
        ("systemctl", "restart", SERVICE),
    )


def plan_removal() -> tuple[tuple[str, ...], ...]:
    """Return the commands for root after which nothing is left of the helper and its bridge.

    The program is installed first and removed last: while it is there, a removal can begin again.
    """
    end = (("systemctl", "disable", "--now", SERVICE),) if UNIT.exists() else ()
    return (
        *end,
        (*PYTHON, str(PROGRAM), "--user", "0", "--remove"),
        ("rm", "-f", str(UNIT)),
        ("systemctl", "daemon-reload"),
        ("rm", "-f", str(PROGRAM)),
    )


def require_answer() -> None:
    """Check that the helper serves this user.

    Raises:
        HostNotReady: it does not; `retryable`: not yet.
    """
    try:
        describe_network(SOCKET)
    except HostNotReady as error:
        hint = LOG if error.retryable else error.hint
        raise HostNotReady(error.message, hint=hint, retryable=error.retryable) from error


def probe() -> Finding:
    """Ask the helper what it serves, and what becomes of what it forwards."""
    try:
        network, firewall = describe_network(SOCKET).network, find_firewall(SOCKET)
    except BangerError as error:
        return Finding(error.message, error.hint)
    if not is_installed() or PROGRAM.read_bytes() != build_program():
        return Finding("The bridge's helper is from another release of banger.", SET_UP)
    if firewall is not Firewall.NONE:
        fact = f"{BRIDGE} exists, but another firewall on this host drops its VMs' traffic."
        return Finding(fact, REMEDIES[firewall])
    networks = (
        f"{network} and {NETWORK6}" if has_ipv6() else f"{network}, without IPv6 on this host"
    )
    return Finding(f"VMs can join {BRIDGE}, {networks}.")
