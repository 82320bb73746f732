"""Lines of JSON that come by a stream.

Made by `make docs` from `sdk/aio/lines.py`; do not edit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from banger.sdk.sync.stream import Stream


def read_lines(stream: Stream) -> Iterator[Any]:
    """Yield the documents as they come, until the stream ends."""
    rest = b""
    for _, data in stream:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield json.loads(line)
