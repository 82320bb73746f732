"""The declaration of an API method, and the mark of the verb that serves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from banger.api.requests import Params
from banger.model.scopes import Scope

Verb = TypeVar("Verb", bound=Callable[..., object])


class Method(Struct, frozen=True, kw_only=True):
    """One method. `stream`: binary frames follow the reply."""

    name: str
    params: type[Params]
    result: object
    doc: str
    scope: Scope = Scope.MANAGE
    """What a token of the HTTP front has to allow."""
    stream: bool = False
    takes_input: bool = False
    """True: its stream has a channel 0."""
    detached: bool = False
    """True: the method completes even if its client disconnects."""


def serves(name: str) -> Callable[[Verb], Verb]:
    """Mark the function below as the verb of a method; `daemon.bindings` finds it by the mark."""

    def mark(verb: Verb) -> Verb:
        vars(verb)["serves"] = name
        return verb

    return mark
