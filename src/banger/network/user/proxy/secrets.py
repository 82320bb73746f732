"""What the egress proxy knows of its VM's secrets, and where their placeholders may be. Pure.

A placeholder is worth nothing by itself. It is looked for all the same wherever this process can
read: one that goes to another place shows a program that does what its user does not expect, or a
guest that tries to have the value sent elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from banger.model.secrets import BoundSecret, list_names
from banger.network.user.proxy.denials import Refused


class Secrets:
    """The secrets of a VM, as they are now."""

    def __init__(self, bound: Sequence[BoundSecret] = ()) -> None:
        self._bound = [(each.placeholder.encode(), each.secret) for each in bound]
        self.names = list_names(each.secret for each in bound)
        """Of the hosts that TLS is ended for, if there is a certificate for them."""
        self.longest = max((len(placeholder) for placeholder, _ in self._bound), default=0)

    def is_for(self, name: str, port: int) -> bool:
        """Tell whether a secret is for a host."""
        return any(secret.is_for(name, port) for _, secret in self._bound)

    def require_none(self, target: str, data: bytes) -> None:
        """Check that bytes hold no placeholder.

        Raises:
            Refused: they do.
        """
        for placeholder, secret in self._bound:
            if placeholder in data:
                headers, hosts = ", ".join(secret.headers), ", ".join(secret.hosts)
                why = f"{secret.name} is for the headers {headers} of requests to {hosts}"
                raise Refused(target, why)

    def fill(self, host: str, port: int, header: bytes, value: bytes) -> bytes:
        """Return a header's value with what the placeholders in it stand for.

        Raises:
            Refused: it holds one that is not for this header and host.
        """
        name, plain = header.decode("latin-1").lower(), _decode_basic(value)
        text = value if plain is None else plain
        for placeholder, secret in self._bound:
            if secret.is_for(host, port) and name in secret.headers:
                text = text.replace(placeholder, secret.value.encode())
        self.require_none(f"{host}:{port}/tcp", header + b" " + text)
        return text if plain is None else b"Basic " + base64.b64encode(text)


def _decode_basic(value: bytes) -> bytes | None:
    """Return `USER:PASSWORD` of a value of that scheme (RFC 7617)."""
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        return base64.b64decode(rest.strip(), validate=True)
    except binascii.Error:
        return None


class Scan:
    """Looks for placeholders in bytes that come in pieces."""

    def __init__(self, target: str) -> None:
        self._target, self._tail = target, b""

    def feed(self, secrets: Secrets, data: bytes) -> None:
        """Look at the next piece.

        Raises:
            Refused: a placeholder ends in it.
        """
        if secrets.longest:
            data = self._tail + data
            secrets.require_none(self._target, data)
            self._tail = data[-secrets.longest :]
