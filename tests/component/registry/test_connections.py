"""What connections a pull makes and keeps, and that none outlives who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.errors import RegistryMisbehaved, RegistryUnreachable
from banger.host.http import exchange
from banger.images.registry import retries
from banger.model.registries import Registries, RegistrySettings
from tests.component.registry.hostile import (
    Handler,
    HostileRegistry,
    hostile_registry,
    make_certificate,
)
from tests.component.registry.pulling import a_puller, run

CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def registry() -> Iterator[HostileRegistry]:
    with hostile_registry() as registry:
        registry.add_image("x", CONTENT)
        registry.keeps_connections = True
        yield registry


def pull(address: str, root: Path, **more: object) -> None:
    async def work() -> None:
        async with a_puller(root, **more) as puller:  # type: ignore[arg-type]  # of any kind
            await puller.pull(f"{address}/x", insecure="registries" not in more)

    run(work())


def test_one_connection_serves_a_pull(registry: HostileRegistry, tmp_path: Path) -> None:
    """Manifest, configuration and layer, a redirect and a challenge on the way."""
    whole = registry.routes[registry.blob_path("x")]
    registry.routes[registry.blob_path("x")] = lambda h: h.redirect("/elsewhere")
    registry.routes["/elsewhere"] = whole
    registry.routes["/token"] = lambda h: h.send(b'{"token": "t"}')
    challenge = f'Bearer realm="http://{registry.address}/token"'
    manifest = registry.routes["/v2/x/manifests/latest"]
    registry.routes["/v2/x/manifests/latest"] = lambda h: (
        manifest(h)
        if h.headers["Authorization"]
        else h.send(b"no", status=401, WWW_Authenticate=challenge)
    )
    pull(registry.address, tmp_path)
    assert len(registry.requests) == 6
    assert registry.connections == 1


def test_one_handshake_serves_a_pull(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with hostile_registry(certificate) as registry:
        registry.add_image("x", CONTENT)
        registry.keeps_connections = True
        over_tls = Registries({registry.address: RegistrySettings(insecure=False)})
        trusting = {"HOME": str(tmp_path), "SSL_CERT_FILE": str(certificate)}
        pull(registry.address, tmp_path, registries=over_tls, environ=trusting)
        assert (len(registry.requests), registry.connections) == (3, 1)


@pytest.mark.parametrize("is_proxy", [False, True])
def test_a_kept_connection_that_is_closed_costs_no_try(
    registry: HostileRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_proxy: bool
) -> None:
    """F5: a server may close what it keeps at any time, also when the next request comes in."""
    monkeypatch.setattr(retries, "TRIES", 1)
    path, whole = registry.blob_path("x"), registry.routes[registry.blob_path("x")]

    def close_the_first_time(handler: Handler) -> None:
        if len(registry.asked(path)) == 1:
            handler.close_connection = True  # without an answer
        else:
            whole(handler)

    registry.routes[path] = close_the_first_time
    if is_proxy:
        registry.routes |= {f"http://name.test{at}": to for at, to in registry.routes.items()}
        environ = {"HOME": str(tmp_path), "HTTP_PROXY": f"http://{registry.address}"}
        pull("name.test", tmp_path, environ=environ)
    else:
        pull(registry.address, tmp_path)
    assert (len(registry.asked(path)), registry.connections) == (2, 2)


def test_a_body_that_is_given_up_is_not_read_to_its_end(
    registry: HostileRegistry, tmp_path: Path
) -> None:
    """F5: what is too long ends its connection."""
    registry.routes["/v2/x/manifests/latest"] = lambda h: h.send_endlessly()
    with pytest.raises(RegistryMisbehaved):
        pull(registry.address, tmp_path)


def test_signed_addresses_are_in_no_log(
    registry: HostileRegistry,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """G6: a query can be a secret, in whatever way the answer to it is broken."""
    monkeypatch.setattr(retries, "TRIES", 1)
    caplog.set_level(logging.DEBUG)
    registry.routes[registry.blob_path("x")] = lambda h: h.redirect("/signed?key=secret")
    registry.routes["/signed"] = lambda h: h.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n: x\r\n\r\n"
        b"0\r\n\r\n"
    )
    with pytest.raises(RegistryUnreachable) as caught:
        pull(registry.address, tmp_path)
    assert "/signed" in caplog.text
    assert "secret" not in caplog.text + str(caught.value)


class Silent:
    """A server that accepts, takes all that is sent, and says nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.was_asked = threading.Event()
        self.is_left = threading.Event()
        self._client: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            self._client, _ = self._listener.accept()
            with self._client as client:
                while client.recv(4096):
                    self.was_asked.set()
                self.is_left.set()

    def close(self) -> None:
        self._listener.close()
        with contextlib.suppress(OSError):
            if self._client is not None:
                self._client.shutdown(socket.SHUT_RDWR)


async def require_prompt_end(pulling: asyncio.Task[object]) -> None:
    """Cancel a pull, and see it end before any deadline of the client's could end it."""
    pulling.cancel()
    done, _ = await asyncio.wait([pulling], timeout=60)
    assert done and pulling.cancelled()


@pytest.mark.parametrize("waits_for", ["headers", "handshake", "proxy"])
def test_who_goes_away_waits_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits_for: str
) -> None:
    """C3: a cancellation ends a thread's waiting, and the connection, in each phase."""
    monkeypatch.setattr(exchange, "CONNECT_S", 1000.0)
    monkeypatch.setattr(exchange, "STALL_S", 1000.0)
    with contextlib.closing(Silent()) as silent:
        host = "registry.test" if waits_for == "proxy" else silent.address
        environ = {"HOME": str(tmp_path), "HTTPS_PROXY": f"http://{silent.address}"}
        settings = RegistrySettings(insecure=waits_for == "headers")

        async def work() -> None:
            async with a_puller(
                tmp_path, registries=Registries({host: settings}), environ=environ
            ) as puller:
                pulling = asyncio.create_task(puller.pull(f"{host}/x"))
                assert await asyncio.to_thread(silent.was_asked.wait, 60)
                try:
                    await require_prompt_end(pulling)
                    assert await asyncio.to_thread(silent.is_left.wait, 60)
                finally:
                    silent.close()

        run(work())


def test_who_goes_away_waits_for_no_kept_connection(
    registry: HostileRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C3: the same for a connection that an earlier request has made."""
    monkeypatch.setattr(exchange, "STALL_S", 1000.0)
    was_asked, go_on = threading.Event(), threading.Event()

    def wait(handler: Handler) -> None:
        was_asked.set()
        go_on.wait(100)

    registry.routes[registry.blob_path("x")] = wait

    async def work() -> None:
        async with a_puller(tmp_path) as puller:
            pulling = asyncio.create_task(puller.pull(f"{registry.address}/x", insecure=True))
            assert await asyncio.to_thread(was_asked.wait, 60)
            try:
                await require_prompt_end(pulling)
            finally:
                go_on.set()

    run(work())
    assert registry.connections == 1
