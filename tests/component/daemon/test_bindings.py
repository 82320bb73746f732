"""Each declared method has one verb, which takes and returns what the declaration says."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from banger import AsyncClient, Client
from banger.api.method import Method
from banger.api.openrpc import render_openrpc
from banger.api.requests import VmRef
from banger.api.table import METHODS
from banger.daemon import bindings
from banger.daemon.bindings import Verb, arguments_of, bind_verbs, find_verbs
from banger.daemon.calls import Call, Exit
from banger.daemon.lifecycle import Control
from banger.daemon.verbs.sockets import Arrivals
from banger.engine import Engine
from banger.engine.state.operations import Operation
from banger.errors import InvalidRequest
from banger.host.runtimedir import link_state
from banger.layout import layout_from_environment
from tests.component.daemon.test_daemon_server import run, running

GIVEN = {
    "engine": Engine,
    "control": Control,
    "arrivals": Arrivals,
    "call": Call,
    "op": Operation,
}
VERBS = find_verbs()

GREET = Method(name="test.greet", params=VmRef, result=list[str], doc="Greet a VM.")
GREET_VERB = """
from banger.api.method import serves

@serves("test.greet")
async def greet(op, ref):
    return [op.method, ref]
"""


def test_every_method_has_a_verb_and_every_verb_a_method() -> None:
    assert VERBS.keys() == METHODS.keys()


def test_no_method_has_two_verbs() -> None:
    marked = [each for room in bindings.ROOMS for each in bindings.list_verbs(room)]
    assert len(marked) == len(VERBS)


@pytest.mark.parametrize("name", METHODS)
def test_a_verb_is_what_its_method_declares(name: str) -> None:
    method, verb = METHODS[name], VERBS[name]
    hints = get_type_hints(verb)
    assert inspect.iscoroutinefunction(verb)
    assert hints["return"] == (Exit if method.stream else method.result)
    assert not method.stream or "call" in hints
    for argument in arguments_of(verb):
        assert hints[argument] == _declared(method, argument), argument


def _declared(method: Method, argument: str) -> object:
    if argument == "params":
        return method.params
    return GIVEN[argument] if argument in GIVEN else get_type_hints(method.params)[argument]


def test_a_method_is_added_by_one_declaration_and_one_verb(
    short_dir: Path, private_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The declaration has the daemon check the parameters; the mark has it find the verb.

    Both clients and the documents have the method; `test_sdk_page.py` looks at its types.
    """
    private_environ["XDG_RUNTIME_DIR"] = str(short_dir / "xdg")
    for name, value in private_environ.items():
        monkeypatch.setenv(name, value)
    (short_dir / "xdg").mkdir()
    (short_dir / "xdg/banger").symlink_to(short_dir / "run")
    (short_dir / "greetings").mkdir()
    (short_dir / "greetings/__init__.py").touch()
    (short_dir / "greetings/greet.py").write_text(GREET_VERB)
    monkeypatch.syspath_prepend(short_dir)
    monkeypatch.setattr(bindings, "ROOMS", (importlib.import_module("greetings"),))
    monkeypatch.setitem(METHODS, GREET.name, GREET)
    found: dict[str, Verb] = find_verbs()

    async def ask() -> None:
        async with running(short_dir, bind_verbs(found)) as server:
            peer = await server.connect()
            answer = await peer.call("test.greet", {"ref": "box"})
            assert answer["result"] == ["test.greet", "box"]
            refused = await peer.call("test.greet", {"name": "box"})
            assert refused["error"]["data"]["code"] == "invalid-request"
            peer.close()
            link_state(layout_from_environment(private_environ))
            clients: tuple[Any, Any] = (Client(autostart=False), AsyncClient(autostart=False))
            answered = asyncio.to_thread(clients[0].call, "test.greet", {"ref": "box"})
            assert await answered == ["test.greet", "box"]
            assert await clients[1].call("test.greet", {"ref": "box"}) == ["test.greet", "box"]
            with pytest.raises(InvalidRequest):
                await clients[1].call("test.greet", {"name": "box"})

    run(ask)
    methods: Any = render_openrpc()["methods"]
    [greet] = [each for each in methods if each["name"] == "test.greet"]
    assert [each["name"] for each in greet["params"]] == ["ref"]
