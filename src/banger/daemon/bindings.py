"""Find the verb that serves each method by the mark `serves`, at the daemon's start.

A verb is an async function that takes what it uses, by name: `engine`, `control`, `arrivals` (what
lives as long as the daemon), `call` or its operation `op`, and `params`; any other name is a member
of the parameters, such as `ref`. So a new method is one declaration (`api.methods`) and one verb.
A test compares each verb's annotations with the declaration.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import ModuleType

from banger.daemon import verbs as own_verbs
from banger.daemon.calls import Call, Handler, Handlers
from banger.engine import verbs, views

ROOMS = (verbs, views, own_verbs)

Verb = Callable[..., Awaitable[object]]


def bind_verbs(found: Mapping[str, Verb], **given: object) -> Handlers:
    """Return the handlers of these verbs; `given` lives as long as the daemon."""
    return {name: _bind(verb, given) for name, verb in found.items()}


def find_verbs() -> dict[str, Verb]:
    """Return every verb by its method."""
    return {vars(verb)["serves"]: verb for room in ROOMS for verb in list_verbs(room)}


def list_verbs(room: ModuleType) -> Iterator[Verb]:
    """Yield the functions with a mark in the modules of a package."""
    for each in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
        for value in vars(importlib.import_module(each.name)).values():
            # What a module only imports is found in its own.
            if hasattr(value, "serves") and value.__module__ == each.name:
                yield value


def arguments_of(verb: Verb) -> tuple[str, ...]:
    """Return the names of what a verb takes."""
    code = verb.__code__
    return code.co_varnames[: code.co_argcount]


def _bind(verb: Verb, given: Mapping[str, object]) -> Handler:
    names = arguments_of(verb)
    fixed = {name: given[name] for name in names if name in given}
    asked = [name for name in names if name not in given]

    def handle(call: Call, params: object) -> Awaitable[object]:
        own = {"call": call, "op": call.operation, "params": params}
        each = {name: own[name] if name in own else getattr(params, name) for name in asked}
        return verb(**fixed, **each)

    return handle
