"""Every error is a class of its own, by both clients; one whose outcome is unknown, too."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import banger
from banger import errors
from banger.api.wire import _classes
from banger.errors import BangerError
from banger.host.runtimedir import link_state
from banger.layout import Layout, layout_from_environment
from tests.support.forked import Forked


def call(kind: str, method: str, params: dict[str, Any]) -> object:
    """Call a method by the `sync` or the `async` client."""
    if kind == "sync":
        client: Any = banger.Client(autostart=False)
        return client.call(method, params)
    client = banger.AsyncClient(autostart=False)

    async def ask() -> object:
        return await client.call(method, params)

    return asyncio.run(ask())


def test_each_code_is_raised_as_its_class(daemon: Forked, kind: str) -> None:
    for code, cls in _classes().items():
        with pytest.raises(BangerError) as caught:
            call(kind, "vm.create", {"labels": {"fails": code}})
        assert type(caught.value) is cls and caught.value.code == code
        assert (str(caught.value), caught.value.hint) == ("It fails.", "banger vm list")
        assert getattr(errors, cls.__name__) is cls


@contextlib.contextmanager
def cutting_daemon(layout: Layout) -> Iterator[list[bytes]]:
    """A socket that reads each request whole, and then hangs up; yields the requests."""
    layout.runtime.mkdir(parents=True, exist_ok=True)
    link_state(layout)
    requests: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(layout.daemon_socket))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, connection.makefile("rb") as lines:
                        requests.append(lines.readline())

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield requests
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_connection_that_is_cut_after_the_request(
    private_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Nothing is sent twice, since it may have been done."""
    for name, value in private_environ.items():
        monkeypatch.setenv(name, value)
    layout = layout_from_environment(private_environ)
    with cutting_daemon(layout) as requests, pytest.raises(errors.OutcomeUnknown) as caught:
        call(kind, "vm.delete", {"ref": "box"})
    assert isinstance(caught.value, errors.DaemonUnreachable)
    assert len(requests) == 1 and b'"vm.delete"' in requests[0]
