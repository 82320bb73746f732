"""The bridge and its TAPs: what the helper changes on the host. Standard library only.

Needs CAP_NET_ADMIN in the network namespace that it runs in. A TAP is not persistent: it is gone
with the last descriptor of its queue, which is the VM's. What a port may say stands in its device's
alias, so the kernel knows all ports, and the helper remembers nothing. The bridge's alias says
whether the host was a router before, so that a removal leaves it as it was.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Address
from pathlib import Path
from typing import NamedTuple

from banger.network.bridge import netlink
from banger.network.bridge.addresses import (
    BRIDGE,
    NETWORK6,
    PREFIX_OF_PORTS,
    Port,
    address6,
    host_address,
    parse_port,
)
from banger.network.bridge.nft import render_check, render_ports, render_removal, render_rules

DEVICE = "/dev/net/tun"
DEADLINE_S = 30
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
IPV6 = Path("/proc/sys/net/ipv6/conf")
"""Not there where the kernel has no IPv6."""
IP6_BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
"""There where the module br_netfilter is."""
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_SET_INTERFACE = 0x400454CA
_TAP, _NO_INFO, _EXCLUSIVE = 0x0002, 0x1000, 0x8000
_DELETE_LINK, _GET_LINK, _SET_LINK = 17, 18, 19
_NAME, _MASTER, _ALIAS = 3, 10, 20
_INDEX = struct.Struct("=I")
_LINK = struct.Struct("=BxHIII")
"""struct ifinfomsg: family, type, index, flags, and those of them that change."""
_UP = 1


class _Link(NamedTuple):
    """A device, as the kernel tells of it."""

    number: int
    name: str
    master: int
    alias: str


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
    """Make the bridge unless it is there, and its rules for the ports that there are.

    Raises:
        OSError: a program of the host failed; without the rules there is no bridge.
    """
    _apply_rules(network)
    if _find_link(BRIDGE) is None:
        _ip(f"link add {BRIDGE} type bridge")
        _set_link(BRIDGE, alias=f"ip_forward={FORWARDING.read_text().strip()}")
    address = host_address(network)
    _ip(f"address replace {address}/{network.prefixlen} dev {BRIDGE}")
    _give_address6(address6(address))
    FORWARDING.write_text("1")
    _set_link(BRIDGE, flags=_UP)


def _give_address6(address: IPv6Address) -> None:
    """Give the bridge this address of IPv6 and no other, unless the host has turned IPv6 off."""
    own = IPV6 / BRIDGE
    if not own.exists() or (IPV6 / "default/disable_ipv6").read_text().strip() == "1":
        return
    # No address of the link alone, and none from whoever says that it is a router.
    for name, value in (("addr_gen_mode", "1"), ("accept_ra", "0"), ("disable_ipv6", "0")):
        (own / name).write_text(value)
    _ip(f"address replace {address}/{NETWORK6.prefixlen} dev {BRIDGE} nodad")


def remove_bridge() -> None:
    """Remove all that `ensure_bridge` has made; fine if nothing is there."""
    bridge = _find_link(BRIDGE)
    if bridge is not None:
        for port in _find_ports():
            remove_port(port)
        if bridge.alias == "ip_forward=0":
            FORWARDING.write_text("0")
        _delete_link(bridge)
    _run(["nft", "-f", "-"], render_removal(has_ipv6=IPV6.exists()))


def add_port(port: Port, network: IPv4Network) -> None:
    """Join a device to the bridge, which is there and down; its rules are set before it is up.

    It has no IPv6 of its own: the kernel would greet the guest with it.
    """
    with contextlib.suppress(FileNotFoundError):
        (IPV6 / port.name / "disable_ipv6").write_text("1")
    _set_link(port.name, alias=port.format(), master=BRIDGE)
    try:
        netlink.ask(netlink.NETFILTER, render_ports(_find_ports()))
    except FileNotFoundError:  # somebody has flushed all of the host's rules
        _apply_rules(network)
    _set_link(port.name, flags=_UP)


def remove_port(port: Port) -> None:
    """Remove a port's device, whoever has it open; fine if there is none."""
    link = _find_link(port.name)
    if link is not None:
        _delete_link(link)


def _apply_rules(network: IPv4Network) -> None:
    """Make the tables anew, with the rules of just the ports that there are."""
    _run(["nft", "-f", "-"], render_rules(network, _find_ports(), has_ipv6=IPV6.exists()))


def lacks_counting() -> bool:
    """Tell whether the kernel takes rules, but none that counts connections (nft_connlimit)."""
    return _takes("accept") and not _takes("ct count over 1 accept")


def _takes(rule: str) -> bool:
    try:
        _run(["nft", "--check", "-f", "-"], render_check(rule))
    except OSError:
        return False
    return True


def list_rules() -> str:
    """Return all rules of the host, as `firewalls` reads them."""
    return _run(["nft", "-j", "list", "ruleset"])


def is_ip6_bridged() -> bool:
    """Tell whether rules for IPv6 are shown what crosses a bridge."""
    return IP6_BRIDGED.exists() and IP6_BRIDGED.read_text().strip() == "1"


def _find_ports() -> list[Port]:
    """Return the bridge's ports, as their aliases say; others have no rule that lets them speak."""
    return list(_parse_ports(_list_links()))


def _parse_ports(links: list[_Link]) -> Iterator[Port]:
    bridge = next((link.number for link in links if link.name == BRIDGE), None)
    for link in links:
        if link.master == bridge and link.name.startswith(PREFIX_OF_PORTS):
            with contextlib.suppress(ValueError):
                yield parse_port(link.alias)


def _find_link(name: str) -> _Link | None:
    return next((link for link in _list_links() if link.name == name), None)


def _list_links() -> list[_Link]:
    wanted = netlink.render_message(_GET_LINK, netlink.DUMP, _LINK.pack(0, 0, 0, 0, 0))
    return [_parse_link(answer) for answer in netlink.ask(netlink.ROUTE, wanted)]


def _parse_link(content: bytes) -> _Link:
    _, _, number, _, _ = _LINK.unpack_from(content)
    attributes = netlink.parse_attributes(content[_LINK.size :])
    name, alias = (
        attributes.get(kind, b"").rstrip(b"\0").decode("utf-8", "replace")
        for kind in (_NAME, _ALIAS)
    )
    (master,) = _INDEX.unpack(attributes.get(_MASTER, bytes(_INDEX.size)))
    return _Link(number, name, master, alias)


def _set_link(name: str, *, alias: str = "", master: str = "", flags: int = 0) -> None:
    content = _LINK.pack(0, 0, socket.if_nametoindex(name), flags, flags)
    if alias:
        content += netlink.render_attribute(_ALIAS, alias.encode())
    if master:
        index = _INDEX.pack(socket.if_nametoindex(master))
        content += netlink.render_attribute(_MASTER, index)
    _change(_SET_LINK, content)


def _delete_link(link: _Link) -> None:
    _change(_DELETE_LINK, _LINK.pack(0, 0, link.number, 0, 0))


def _change(kind: int, content: bytes) -> None:
    netlink.ask(netlink.ROUTE, netlink.render_message(kind, netlink.ACKNOWLEDGE, content))


def _ip(command: str) -> None:
    _run(["ip", *command.split()])


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
