"""The arguments of the programs that make a user network. Pure."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from banger.network.port import Interface

RESOLVER = "/etc/resolv.conf"
CHAIN = "/chain.pem"
"""In the egress proxy's jail: its key and certificate for the hosts of the VM's secrets. The one
file that it can write to: Python takes keys of TLS from files alone."""
SYSTEM = ("/usr", "/lib", "/lib64")
NAMESPACES = (
    *("--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts"),
    "--unshare-cgroup",
)
"""Of a jail, besides that of users. The network's stays the host's."""


def plan_passt(interface: Interface, *, binary: str, descriptor: int, log_file: Path) -> list[str]:
    """Return passt's command for one VM.

    IPv4 only: the guest has no IPv6 address, and each way out is one to guard (E4).
    Nothing is forwarded inwards. The gateway's address is the host's loopback, of which the egress
    filter lets pass what the VM's policy names. `--fd` makes passt end when the stream ends.
    """
    network = ipaddress.ip_interface(f"{interface.address}/{interface.prefix}")
    return [
        binary,
        "--foreground",
        "--ipv4-only",
        *("--fd", str(descriptor)),
        *("--address", interface.address),
        *("--netmask", str(network.netmask)),
        *("--gateway", interface.gateway),
        *("--dns-forward", interface.dns[0]),
        *("--tcp-ports", "none"),
        *("--udp-ports", "none"),
        *("--log-file", str(log_file)),
    ]


def plan_slirp(binary: str, interface: Interface, *, path: str, lifeline: int) -> list[str]:
    """Return slirp4netns's command for one VM.

    Its gateway and nameserver are the second and third address of the network. The socket at
    `path` takes one connection, on which each message is a frame. It ends when the pipe `lifeline`
    has no writer any more. IPv4 only. The network's other addresses are the host's loopback, of
    which the egress filter lets pass what the VM's policy names.
    """
    network = ipaddress.ip_interface(f"{interface.address}/{interface.prefix}").network
    return [
        binary,
        "--target-type=bess",
        "--enable-seccomp",
        f"--cidr={network}",
        f"--exit-fd={lifeline}",
        path,
    ]


def plan_slirp_jail(
    bwrap: str,
    binary: str,
    *,
    shown_as: str,
    directory: Path | None = None,
    resolver: int | None = None,
) -> list[str]:
    """Return what to put before a command of slirp4netns for it to see nothing of the host.

    What it sees is libraries, the nameserver's address, and `directory`, in which it starts. The
    program is shown as `shown_as`. It stays in the host's network namespace, since the sockets
    that it opens are the guest's way out; but with a descriptor `resolver` it has a namespace of
    its own, with a loopback only, and what the descriptor has as its resolv.conf.
    """
    network: tuple[str, ...] = ("--ro-bind-try", RESOLVER, RESOLVER)
    if resolver is not None:
        network = ("--unshare-net", "--ro-bind-data", str(resolver), RESOLVER)
    own = ("--bind", os.fspath(directory), os.fspath(directory)) if directory else ()
    return [
        *(bwrap, "--unshare-user", *NAMESPACES, "--clearenv"),
        *_show([(path, path) for path in (*SYSTEM, "/etc/ld.so.cache")]),
        *network,
        *own,
        *("--ro-bind", binary, shown_as),
        *(("--chdir", os.fspath(directory)) if directory else ()),
        *("--remount-ro", "/"),
        "--",
    ]


def plan_proxy_jail(
    bwrap: str,
    *,
    users: int,
    shown: Iterable[tuple[str, str]],
    variables: Mapping[str, str],
    empty: int,
) -> list[str]:
    """Return what to put before the egress proxy's command for it to see no more than it needs.

    That is libraries and `shown`: files, and where they are shown. The descriptor of an empty file
    makes one in the jail's memory. It is in the user namespace of the descriptor `users`, where it
    may bind any port, and in the host's network namespace.
    """
    return [
        *(bwrap, "--userns", str(users), "--cap-add", "CAP_NET_BIND_SERVICE", *NAMESPACES),
        "--clearenv",
        *(word for name, value in variables.items() for word in ("--setenv", name, value)),
        *_show([*((path, path) for path in SYSTEM), *shown]),
        *("--bind-data", str(empty), CHAIN),
        *("--symlink", "/run", "/var/run"),
        *("--chdir", "/", "--remount-ro", "/", "--"),
    ]


def _show(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [word for one, two in pairs for word in ("--ro-bind-try", one, two)]


def plan_sockets(python: str, program: Path, *, inside: int, to: int) -> list[str]:
    """Return the command that leaves sockets of `inside` in the socket `to`."""
    # -I, -S: it takes modules of the standard library only, and nobody else's.
    return [python, "-I", "-S", str(program), str(inside), str(to)]


def plan_egress_proxy(
    python: str, *, sockets: int, inside: int, control: int, label: Path
) -> list[str]:
    """Return the proxy's command; `inside` is a pidfd of the back end."""
    # -S: what it imports is in PYTHONPATH, and no other path is looked at.
    module = (python, "-S", "-P", "-m", "banger.network.user.proxy")
    return [*module, *map(str, (sockets, inside, control, label))]
