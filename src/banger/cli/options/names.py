"""The ports that lead to VMs by name, for commands that configure other programs."""

from __future__ import annotations

from banger.cli.app.context import Context
from banger.errors import HostNotReady

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal


def find_port(context: Context, kind: Literal["dns", "socks"], *, what: str) -> int:
    """Return the port of the `socks` or the `dns` server, which messages call `what`.

    Raises:
        HostNotReady: nothing listens.
    """
    with context.client() as client:
        names = client.call("names.show")
    port = names["dns_port"] if kind == "dns" else names["socks_port"]
    if port is None:
        fact = next((each for each in names["notices"] if kind.upper() in each), None)
        fact = fact or f"{what} is switched off (names.{kind}_port is 0)."
        raise HostNotReady(fact, hint="banger config show")
    return port
