"""What is declared of a method of the API."""

from __future__ import annotations

from msgspec import Struct

from banger.api.requests import Params


class Method(Struct, frozen=True, kw_only=True):
    """One method. `stream`: binary frames follow the reply."""

    name: str
    params: type[Params]
    result: object
    doc: str
    stream: bool = False
    detached: bool = False
    """True: the method completes even if its client disconnects."""
