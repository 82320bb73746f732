"""The greeting of the ssh front, sent before ssh's own protocol: which VM a connection is for.

    banger-ssh 1 REF\\n          client to front; REF is a name, an ID or a unique prefix of either
    ok\\n                        front to client; ssh's protocol follows
    {"message": ..., ...}\\n     or: an error as in a reply, and the end

The client sends nothing else before the answer. Pure and light, like `api.wire`.
"""

from __future__ import annotations

from banger.api import wire
from banger.errors import BangerError, InvalidRequest

SUFFIX = ".vm"
"""Of the host names under which ssh clients know VMs."""
ALIAS = "banger.vm"
"""The name under which clients know the front's key, whatever the VM (`HostKeyAlias`)."""
GREETING_MAX = 256
"""Bytes of a greeting; longer than any name."""
OK = b"ok\n"
_MARK = "banger-ssh 1"


def parse_host(host: str) -> str:
    """Return what names the VM in a host name such as `calm-otter.vm`."""
    return host.removesuffix(SUFFIX)


def format_greeting(ref: str) -> bytes:
    """Return the line that a client sends.

    Raises:
        InvalidRequest: no VM can have this name.
    """
    if not _is_plain(ref):
        raise InvalidRequest(f"{ref!r:.80} is not a valid VM name.", hint="banger vm list")
    return f"{_MARK} {ref}\n".encode("ascii")


def parse_greeting(untrusted_line: bytes) -> str:
    """Return what names the VM.

    Raises:
        InvalidRequest: the line is no greeting of this version.
    """
    mark, _, ref = untrusted_line.decode("ascii", "replace").removesuffix("\n").rpartition(" ")
    if mark != _MARK or not _is_plain(ref):
        raise InvalidRequest("The greeting sent to the ssh front is not valid.")
    return ref


def format_refusal(error: BangerError) -> bytes:
    """Return the answer that refuses the connection."""
    return wire.format_line(wire.error_to_wire(error))


def require_ok(untrusted_line: bytes) -> None:
    """Check the answer.

    Raises:
        BangerError: the refusal.
    """
    if untrusted_line != OK:
        raise wire.error_from_wire(wire.parse_line(untrusted_line))


def _is_plain(ref: str) -> bool:
    """Tell whether it has only what names and IDs have."""
    return 0 < len(ref) <= 64 and ref.isascii() and ref.replace("-", "").isalnum()
