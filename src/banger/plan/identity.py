"""A guest's identity: the files with its name, ids and keys. Pure."""

from __future__ import annotations

from typing import NamedTuple

SSH_KEY_KINDS = ("rsa", "dsa", "ecdsa", "ed25519")
UNSHARED = (
    "etc/machine-id",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    *(f"etc/ssh/ssh_host_{kind}_key{end}" for kind in SSH_KEY_KINDS for end in ("", ".pub")),
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
)
"""Files of a guest, relative to its root, that no image may contain: those rewritten by each boot,
and those that the guest's programs create once per machine (hazards D2, D6)."""


class IdentityFile(NamedTuple):
    """A file of the guest, owned by root."""

    path: str
    mode: int
    content: bytes


HOST_NAME = "host.vm"
"""The host's name in its guests."""


def render_identity_files(
    *,
    hostname: str,
    machine_id: str,
    nameservers: tuple[str, ...],
    host_key: bytes,
    host_key_public: bytes,
    host_address: str | None = None,
) -> tuple[IdentityFile, ...]:
    """Return the files that no two guests may share (hazard D2), and those derived from them.

    `machine_id` is 32 hex digits, as in machine-id(5). `host_address` is as below.
    """
    resolver = "".join(f"nameserver {address}\n" for address in nameservers)
    return (
        IdentityFile("/etc/machine-id", 0o444, f"{machine_id}\n".encode()),
        *render_name_files(hostname, host_address),
        IdentityFile("/etc/resolv.conf", 0o644, resolver.encode()),
        IdentityFile("/etc/ssh/ssh_host_ed25519_key", 0o600, host_key),
        IdentityFile("/etc/ssh/ssh_host_ed25519_key.pub", 0o644, host_key_public),
    )


def render_name_files(hostname: str, host_address: str | None) -> tuple[IdentityFile, ...]:
    """Return the files that contain a guest's hostname.

    `host_address`: where the guest reaches ports of the host's loopback that are allowed.
    """
    hosts = f"127.0.0.1 localhost\n127.0.1.1 {hostname}\n::1 localhost ip6-localhost\n"
    if host_address is not None:
        hosts += f"{host_address} {HOST_NAME}\n"
    return (
        IdentityFile("/etc/hostname", 0o644, f"{hostname}\n".encode()),
        IdentityFile("/etc/hosts", 0o644, hosts.encode()),
    )
