"""kill -9 of the daemon in the middle of a pull: what is verified stays, the rest goes on.

Between the daemon and a real registry stands a proxy that lets so many bytes pass and counts them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installations import Installation, wait_for
from tests.support.leaks import find_processes
from tests.support.oci_layouts import OciLayout, make_layer
from tests.support.registries import free_port, real_registry

BIG, SMALL = 24_000_000, 50_000
OVERHEAD = 100_000
"""Of a second pull: manifest, configuration, headers, and what was on its way at the death."""


class Valve:
    """A proxy on loopback that holds back what a registry sends, above a limit."""

    def __init__(self, target: str) -> None:
        host, port = target.split(":")
        self._target = (host, int(port))
        self._passed = 0
        self._limit = 0
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", free_port()))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def passed(self) -> int:
        return self._passed

    def let_pass(self, number: int) -> None:
        """Let so many bytes pass from now on."""
        with self._changed:
            self._passed, self._limit = 0, number
            self._changed.notify_all()

    def close(self) -> None:
        self.let_pass(1 << 40)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for ends in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._copy, args=ends, daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                if counted:
                    with self._changed:
                        self._changed.wait_for(lambda: self._passed < self._limit)
                        self._passed += len(data)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
def valve(tmp_path: Path) -> Iterator[Valve]:
    """A registry with an image of a big layer and a small one, behind a valve."""
    layout = OciLayout(tmp_path / "layout")
    small = make_layer({"small": os.urandom(SMALL)}, compression="none")
    big = make_layer({"big": os.urandom(BIG)}, compression="none")
    layout.add_image([small, big], tag="image")
    with real_registry(tmp_path) as registry:
        registry.push(tmp_path / "layout", "image", "test/x:image")
        with contextlib.closing(Valve(registry.address)) as valve:
            yield valve


@pytest.fixture
def own(private_environ: dict[str, str]) -> Iterator[Installation]:
    with contextlib.closing(Installation(private_environ)) as installation:
        yield installation


def partial_bytes(own: Installation) -> int:
    return sum(path.stat().st_size for path in own.layout.partial_blobs.glob("*"))


def require_verified(own: Installation) -> int:
    """Check every blob of the cache against its name; return how many there are."""
    blobs = list((own.layout.blobs / "sha256").glob("*"))
    for blob in blobs:
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    return len(blobs)


def test_a_pull_goes_on_after_the_daemons_death(own: Installation, valve: Valve) -> None:
    """A9, B5, F3: no byte that is here comes twice; nothing half-made is an image."""
    reference = f"{valve.address}/test/x:image"
    valve.let_pass(BIG // 2)
    pulling = own.start("image", "pull", "-q", reference)
    wait_for(lambda: partial_bytes(own) > BIG // 3, "some of the big layer")
    own.kill_daemon()
    pulling.communicate()
    here = partial_bytes(own)
    assert BIG // 3 < here < BIG

    assert own.json("image", "list") == []
    assert own.json("gc", "--dry-run") == []
    assert list(own.layout.staging.glob("*")) == []
    # The small layer and the configuration had come whole before; the rest is a beginning.
    assert require_verified(own) in (1, 2)
    assert partial_bytes(own) == here

    valve.let_pass(1 << 40)
    digest = own.do("image", "pull", "-q", reference).text
    assert valve.passed < BIG - here + OVERHEAD
    assert require_verified(own) == 3 and partial_bytes(own) == 0
    assert own.json("image", "show", reference)["digest"] == digest
    assert own.json("gc", "--dry-run") == []


def test_a_death_while_the_root_is_made(own: Installation, valve: Valve) -> None:
    """A9, B5: the layers are not fetched again, and no program of the conversion lives on."""
    reference = f"{valve.address}/test/x:image"
    valve.let_pass(1 << 40)
    daemon = own.start("image", "pull", "-q", reference)
    wait_for(lambda: find_processes(own.layout.staging), "the conversion to begin")
    own.kill_daemon()
    daemon.communicate()
    assert own.json("image", "list") == []
    wait_for(lambda: not find_processes(own.layout.data), "the conversion to end")
    assert list(own.layout.staging.glob("*")) == []
    before = require_verified(own)
    valve.let_pass(1 << 40)
    digest = own.do("image", "pull", "-q", reference).text
    if before == 3:
        assert valve.passed < OVERHEAD
    assert own.json("image", "show", reference)["digest"] == digest
    assert own.json("gc", "--dry-run") == []
