"""A stream from its beginning to its end.

Made by `make docs` from `sdk/aio/exchange.py`; do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping

from banger.sdk.command import OnOutput, Output
from banger.sdk.sync.daemon import Daemon


def exchange(
    daemon: Daemon,
    method: str,
    params: Mapping[str, object],
    data: bytes | None = None,
    *,
    on_output: OnOutput | None = None,
) -> Output:
    """Call a `stream` method: send all data, take all that comes, up to the end."""
    output = Output(on_output)
    with daemon.open(method, params) as stream:
        stream.take = output.take
        if data is not None:
            stream.send(data)
            stream.control({"eof": True})
        output.exit = stream.wait()
    return output
