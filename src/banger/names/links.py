"""Links to what VMs serve, and what a link means. Pure.

`http://8000-calm-otter.localhost:7780/` is port 8000 of the VM calm-otter, and
`http://calm-otter.localhost:7780/` its web port (`choose_web_port`). Browsers and curl take each
name under `localhost` for this host, without asking a resolver (RFC 6761, section 6.3).

Port and name are one label, because a browser takes each label under `localhost` for a site of its
own: two VMs, and two ports of one VM, share neither cookies nor storage, and cannot set cookies for
each other. A host that is not under `localhost` is refused, so that a page of the internet whose
name is made to resolve to 127.0.0.1 (DNS rebinding) reaches no VM. Development servers that check
the Host of requests themselves accept names under `localhost`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from banger.names.answers import Refusal

LABEL_MAX = 63
"""Characters of one label of a name (RFC 1035, section 2.3.4)."""
PORT_MAX = 65535

_PORT_PREFIX = re.compile(r"([1-9][0-9]{0,4})-(?=.)")
_VM_DOMAIN = re.compile(rb"([a-z0-9][a-z0-9-]{0,62})\.vm\.?", re.IGNORECASE)
_HOST = re.compile(r"([a-z0-9][a-z0-9-]{0,62})\.localhost\.?(?::[0-9]{1,5})?", re.ASCII)

NOT_WEB = frozenset(
    (
        *(7, 9, 13, 19, 20, 21, 22, 23, 25, 37, 53, 88, 110, 111, 119, 123, 135, 139, 143, 179),
        *(389, 443, 445, 465, 514, 515, 587, 631, 636, 853, 873, 989, 990, 992, 993, 995),
        *(1433, 1521, 1883, 2049, 2181, 3306, 3389, 4222, 5222, 5269, 5355, 5432, 5671, 5672),
        *(5900, 6000, 6379, 6667, 8883, 9042, 9092, 11211, 27017),
    )
)
"""Ports of well-known protocols that are not HTTP in the clear: ssh, mail, DNS, databases, TLS."""


class Destination(NamedTuple):
    """What a link leads to."""

    name: str
    """Of a VM, or its id."""
    port: int | None
    """None: the VM's web port."""


def parse_host(untrusted_host: bytes) -> Destination:
    """Return what the Host (`:authority`) of a request leads to.

    One to five digits and a hyphen at the beginning always are a port, also where a VM's name
    begins like that: what a link means does not change with the VMs that there are.

    Raises:
        Refusal: it is not `NAME.localhost` nor `PORT-NAME.localhost`.
    """
    found = _HOST.fullmatch(untrusted_host.decode("latin-1").lower())
    if found is None:
        raise Refusal(
            421, "Links have the form http://PORT-NAME.localhost or http://NAME.localhost."
        )
    label = found[1]
    prefix = _PORT_PREFIX.match(label)
    if prefix is None:
        return Destination(label, None)
    port = int(prefix[1])
    if port > PORT_MAX:
        raise Refusal(421, f"{port} is not a port; ports are 1 to {PORT_MAX}.")
    return Destination(label[prefix.end() :], port)


def parse_vm_domain(untrusted_name: bytes) -> str | None:
    """Return the VM's name in `NAME.vm`; None for any other name."""
    found = _VM_DOMAIN.fullmatch(untrusted_name)
    return found[1].decode().lower() if found else None


def is_web_port(port: int) -> bool:
    """Tell whether a port may be one of a web server: no other protocol is known for it."""
    return port not in NOT_WEB


def choose_web_port(listening: Iterable[int]) -> int | None:
    """Return the port that a VM's name alone leads to: the lowest that may be a web server's.

    None: there is no such port among those that the guest listens on.
    """
    return min(filter(is_web_port, listening), default=None)


def format_link(name: str, vm_id: str, guest_port: int, *, front_port: int) -> str:
    """Return the link to a port of a VM."""
    label = f"{guest_port}-{name}"
    if len(label) > LABEL_MAX:
        label = f"{guest_port}-{vm_id}"
    return f"http://{label}.localhost:{front_port}/"


def format_web_link(name: str, vm_id: str, web_port: int, *, front_port: int) -> str:
    """Return the link to a VM's web port: with the port only if the name begins like one."""
    if _PORT_PREFIX.match(name):
        return format_link(name, vm_id, web_port, front_port=front_port)
    return f"http://{name}.localhost:{front_port}/"
