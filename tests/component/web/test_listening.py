"""Where a front listens, under which names, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import http.client
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.errors import InvalidRequest
from banger.web.listening import Place, listening, name_hosts, parse_place
from tests.component.daemon.running import DEADLINE_S, banger, layout_of, with_sources
from tests.component.web.fronts import Environ, Front


@pytest.mark.parametrize(
    ("text", "place", "is_local"),
    [
        ("127.0.0.1:7782", Place("127.0.0.1", 7782), True),
        ("127.9.9.9:1", Place("127.9.9.9", 1), True),
        ("[::1]:80", Place("::1", 80), True),
        ("0.0.0.0:7782", Place("0.0.0.0", 7782), False),
        ("192.0.2.1:7782", Place("192.0.2.1", 7782), False),
        ("/run/x.sock", Place("", 0, "/run/x.sock"), True),
    ],
)
def test_a_place_is_parsed(text: str, place: Place, is_local: bool) -> None:
    assert parse_place(text) == place
    assert place.is_local == is_local


@pytest.mark.parametrize(
    "text",
    ["", "7782", "localhost:7782", ":7782", "127.0.0.1:", "127.0.0.1:65536", "1:²", "x.sock"],
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_place(text)


def test_a_front_has_the_names_of_loopback_and_those_that_are_set() -> None:
    """E6: an address for everybody is no name."""
    local = ["127.0.0.1:7782", "localhost:7782", "[::1]:7782"]
    assert name_hosts(Place("0.0.0.0", 7782), "")[:3] == local
    assert "0.0.0.0:7782" not in name_hosts(Place("0.0.0.0", 7782), "")
    assert "192.0.2.1:7782" in name_hosts(Place("192.0.2.1", 7782), "")
    assert name_hosts(Place("127.0.0.1", 7782), " a.example ,B.example:8443,") == [
        *local,
        "a.example",
        "b.example:8443",
    ]
    assert "localhost" in name_hosts(Place("127.0.0.1", 80), "")
    assert name_hosts(Place("", 0, "/run/x.sock"), "") == ["localhost"]


def test_a_connection_does_not_collect_what_it_sends() -> None:
    """Else each answer, and each key of a terminal, waits for an acknowledgement: 40 ms."""
    with listening(Place("127.0.0.1", 0)) as (listener, place):
        with socket.create_connection(("127.0.0.1", place.port)):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_a_front_listens_on_a_socket_of_the_users_alone(
    environ: Environ, front: Front, run_dir: Path
) -> None:
    """G1: and replaces that of a front that was killed."""
    path = run_dir / "web.sock"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as stale:
        stale.bind(str(path))
    with started(environ, str(path)) as process:
        assert (
            process.stdout is not None and process.stdout.readline().strip() == str(path).encode()
        )
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        headers = {"Host": "localhost", "Authorization": f"Bearer {front.token}"}
        with contextlib.closing(http.client.HTTPConnection("localhost")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(path))
            connection.request("POST", "/api/vm.list", headers=headers)
            assert connection.getresponse().status == 200
    assert not path.exists()


def test_a_port_that_is_taken_is_told(environ: Environ, front: Front) -> None:
    done = banger(environ, "web", "--listen", front.host)
    assert done.returncode == 5
    assert done.stderr.decode().splitlines() == [
        f"banger: Another program listens on {front.host}.",
        "  hint: banger web --listen 127.0.0.1:0",
    ]


def test_other_machines_connect_only_when_asked_for_with_a_warning(environ: Environ) -> None:
    with started(environ, "0.0.0.0:0") as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b"http://0.0.0.0:")
        assert b"Other machines can connect" in process.stderr.readline()


def test_settings_say_where_to_listen_and_which_names_there_are(
    environ: Environ, front: Front
) -> None:
    config = layout_of(environ).config_file
    config.parent.mkdir(exist_ok=True)
    config.write_text('web.listen = "127.0.0.1:0"\nweb.allowed_hosts = "proxy.example"\n')
    try:
        with started(environ) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline().strip().rstrip(b"/").rpartition(b":")[2])
            own = Front(port, front.token, front.output)
            for name, status in (("proxy.example", 200), ("other.example", 403)):
                headers = {"Host": name, "Origin": f"https://{name}"}
                assert own.request("POST", "/api/vm.list", headers=headers).status == status
    finally:
        config.unlink()


def test_without_the_extra_the_command_says_how_to_get_it(environ: Environ, tmp_path: Path) -> None:
    """H8: a sentence, not a traceback."""
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError('x', name='starlette')\n")
    sources = with_sources(environ)
    path = f"{tmp_path}:{sources['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "banger.web"],
        env={**sources, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 6
    assert done.stderr.startswith("banger: The HTTP front needs Python's package starlette")
    assert f"  hint: {sys.executable} -m pip install 'banger[web]'\n" in done.stderr


@contextlib.contextmanager
def started(environ: Environ, *listen: str) -> Iterator[subprocess.Popen[bytes]]:
    """A front, ended by SIGTERM."""
    words = ["--listen", *listen] if listen else []
    with subprocess.Popen(
        [sys.executable, "-m", "banger", "web", *words],
        env=with_sources(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0
