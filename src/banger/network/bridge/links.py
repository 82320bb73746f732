"""The bridge and its TAPs: what the helper changes on the host. Standard library only.

Needs CAP_NET_ADMIN in the network namespace that it runs in. A TAP is not persistent: it is gone
with the last descriptor of its queue, which is the VM's. What a port may say stands in its device's
alias, so the kernel knows all ports, and the helper remembers nothing. The bridge's alias says
whether the host was a router before, so that a removal leaves it as it was.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

from banger.network.bridge.addresses import BRIDGE, PREFIX_OF_PORTS, Port, host_address, parse_port
from banger.network.bridge.nft import REMOVAL, render_rules

DEVICE = "/dev/net/tun"
DEADLINE_S = 30
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
NO_IPV6 = Path(f"/proc/sys/net/ipv6/conf/{BRIDGE}/disable_ipv6")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_SET_INTERFACE = 0x400454CA
_TAP, _NO_INFO, _EXCLUSIVE = 0x0002, 0x1000, 0x8000


def open_tap(name: str) -> int:
    """Make a TAP and return its queue, in which each read and write is one frame.

    Raises:
        FileExistsError: there is one of that name.
    """
    fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        flags = _TAP | _NO_INFO | _EXCLUSIVE
        fcntl.ioctl(fd, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), flags))
    except OSError as error:
        os.close(fd)
        if error.errno == errno.EBUSY:
            raise FileExistsError(name) from error
        raise
    return fd


def ensure_bridge(network: IPv4Network) -> None:
    """Make the bridge unless it is there, and its rules for the ports that there are."""
    if _find_links(BRIDGE) == []:
        _ip(f"link add {BRIDGE} type bridge")
        _ip(f"link set {BRIDGE} alias", f"ip_forward={FORWARDING.read_text().strip()}")
    if NO_IPV6.exists():
        NO_IPV6.write_text("1")
    _ip(f"address replace {host_address(network)}/{network.prefixlen} dev {BRIDGE}")
    apply_rules(network)
    FORWARDING.write_text("1")
    _ip(f"link set {BRIDGE} up")


def remove_bridge() -> None:
    """Remove all that `ensure_bridge` has made; fine if nothing is there."""
    for link in _find_links(BRIDGE):
        for port in _find_ports():
            remove_port(port)
        if link.get("ifalias") == "ip_forward=0":
            FORWARDING.write_text("0")
        _ip(f"link delete {BRIDGE}")
    _run(["nft", "-f", "-"], REMOVAL)


def add_port(port: Port, network: IPv4Network) -> None:
    """Join a device to the bridge, which is there and down; its rules are set before it is up."""
    _ip(f"link set {port.name} alias", port.format())
    _ip(f"link set {port.name} master {BRIDGE}")
    apply_rules(network)
    _ip(f"link set {port.name} up")


def remove_port(port: Port) -> None:
    """Remove a port's device, whoever has it open; fine if there is none."""
    if _find_links(port.name):
        _ip(f"link delete {port.name}")


def apply_rules(network: IPv4Network) -> None:
    """Have the rules of just the ports that there are."""
    _run(["nft", "-f", "-"], render_rules(network, _find_ports()))


def list_rules() -> str:
    """Return all rules of the host, as `firewalls` reads them."""
    return _run(["nft", "-j", "list", "ruleset"])


def _find_ports() -> list[Port]:
    """Return the bridge's ports, as their aliases say; others have no rule that lets them speak."""
    return list(_parse_ports(_list_links("master", BRIDGE)))


def _parse_ports(links: list[dict[str, str]]) -> Iterator[Port]:
    for link in links:
        name, alias = link["ifname"], link.get("ifalias", "")
        if name.startswith(PREFIX_OF_PORTS) and alias:
            yield parse_port(alias)


def _find_links(name: str) -> list[dict[str, str]]:
    return [link for link in _list_links() if link["ifname"] == name]


def _list_links(*words: str) -> list[dict[str, str]]:
    links: list[dict[str, str]] = json.loads(_run(["ip", "-json", "link", "show", *words]))
    return links


def _ip(command: str, *words: str) -> None:
    _run(["ip", *command.split(), *words])


def _run(argv: list[str], text: str = "") -> str:
    """Run a program of the host and return what it prints.

    Raises:
        OSError: it failed; what it said of that is on stderr, the helper's log.
    """
    try:
        done = subprocess.run(
            argv,
            input=text,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            timeout=DEADLINE_S,
            env=ENVIRONMENT,
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise OSError(str(error)) from error
    return done.stdout
