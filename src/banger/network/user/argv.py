"""The arguments of the programs that make a user network. Pure."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from banger.host.attachments import AttachmentKind
from banger.network.port import Interface


def plan_passt(interface: Interface, *, binary: str, descriptor: int, log_file: Path) -> list[str]:
    """Return passt's command for one VM.

    IPv4 only: the guest has no IPv6 address, and each way out is one to guard (E4).
    Nothing is forwarded inwards. `--fd` makes passt end when the stream ends.
    """
    network = ipaddress.ip_interface(f"{interface.address}/{interface.prefix}")
    return [
        binary,
        "--foreground",
        "--ipv4-only",
        *("--fd", str(descriptor)),
        "--no-map-gw",
        *("--address", interface.address),
        *("--netmask", str(network.netmask)),
        *("--gateway", interface.gateway),
        *("--dns-forward", interface.dns[0]),
        *("--tcp-ports", "none"),
        *("--udp-ports", "none"),
        *("--log-file", str(log_file)),
    ]


def plan_egress_filter(
    program: Path, *, guest: int, world: int, attachment: AttachmentKind, label: Path
) -> list[str]:
    """Return the filter's command; `label`, below the VM's directory, names the VM."""
    return [str(program), attachment.value, str(guest), str(world), str(label)]
