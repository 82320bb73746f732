"""Where what leads to VMs by their names listens, for commands that tell other programs of it."""

from __future__ import annotations

from banger.cli.app.context import Context
from banger.errors import HostNotReady


def find_port(context: Context, kind: str, *, what: str) -> int:
    """Return the port of the `socks` or the `dns` server, which messages call `what`.

    Raises:
        HostNotReady: nothing listens.
    """
    with context.client() as client:
        names = client.call("names.show")
    assert isinstance(names, dict)
    port = names[f"{kind}_port"]
    if port is None:
        fact = next((each for each in names["notices"] if kind.upper() in each), None)
        fact = fact or f"{what} is switched off (names.{kind}_port is 0)."
        raise HostNotReady(fact, hint="banger config show")
    return int(port)
