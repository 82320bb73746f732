"""The programs that ssh's `ProxyCommand` runs, against a front that answers as a test has it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from banger.api.ssh import OK, format_refusal
from banger.client.sshproxy import TRIES
from banger.errors import WrongState
from banger.host.runtimedir import link_state
from tests.component.daemon.running import layout_of, with_sources
from tests.support.native import build_shared

DEADLINE_S = 110
PROXY = (sys.executable, "-P", "-m", "banger.client.sshproxy")
GREETING = b"banger-ssh 1 box\n"
NEVER = "/nowhere/not-run"


class Front:
    """Answers each greeting with the next of `answers`, and ends what has none; then it is gone."""

    def __init__(self, server: socket.socket, answers: list[bytes]) -> None:
        self.greetings: list[bytes] = []
        self._server = server
        self._answers = answers

    def serve(self) -> None:
        for answer in self._answers:
            with self._server.accept()[0] as client:
                client.settimeout(DEADLINE_S)
                self.greetings.append(client.recv(1000))
                if answer:  # else the client may have gone
                    client.sendall(answer)
                if answer.startswith(OK):
                    client.sendall(b"from the guest: " + client.makefile("rb").read())


@contextlib.contextmanager
def front(environ: dict[str, str], *answers: bytes) -> Iterator[Front]:
    """A front where the daemon of `environ` has it; all its answers are asked for."""
    layout = layout_of(environ)
    layout.runtime.mkdir(mode=0o700, exist_ok=True)
    link_state(layout)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(layout.ssh_socket_name)
        server.listen()
        server.settimeout(DEADLINE_S)
        front = Front(server, list(answers))
        thread = threading.Thread(target=front.serve)
        thread.start()
        yield front
        thread.join(DEADLINE_S)
        assert not thread.is_alive() and len(front.greetings) == len(answers)


def proxy(
    environ: dict[str, str], host: str = "box.vm", *before: str
) -> subprocess.CompletedProcess[bytes]:
    """Run it as a client that takes no descriptor; `before`: what runs it instead."""
    return subprocess.run(
        [*(before or PROXY), host],
        env=with_sources(environ),
        input=b"input",
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )


@dataclass
class Taken:
    """What a client that takes a descriptor has got of a proxy."""

    status: int
    said: bytes
    descriptors: list[int]
    stderr: bytes


def hand_over(environ: dict[str, str], *argv: str) -> Taken:
    """Run a proxy as OpenSSH does: with one socket as stdin and stdout."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.settimeout(DEADLINE_S)
        with theirs:
            process = subprocess.Popen(
                argv, env=environ, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
            )
        said, descriptors, _, _ = socket.recv_fds(ours, 1000, 1)
    _, stderr = process.communicate(timeout=DEADLINE_S)
    return Taken(process.returncode, said, descriptors, stderr)


@pytest.fixture(scope="session")
def program() -> str:
    """The proxy in C, made from the sources of now."""
    return str(build_shared("ssh-proxy", "banger-ssh-proxy"))


@pytest.mark.parametrize("way", ["in C", "in Python"])
def test_it_hands_the_connection_over(
    private_environ: dict[str, str], program: str, way: str
) -> None:
    """H7: to a client that gives it a socket, as OpenSSH does; it reads nothing of ssh's."""
    argv = (program, "box.vm", NEVER) if way == "in C" else (*PROXY, "box.vm")
    with front(private_environ, OK + b"SSH-2.0-front\r\n") as served:
        taken = hand_over(with_sources(private_environ), *argv)
        assert (taken.status, taken.said, taken.stderr) == (0, b"\0", b"")
        [fd] = taken.descriptors
        with socket.socket(fileno=fd) as connection:
            connection.settimeout(DEADLINE_S)
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as file:
                assert file.read() == b"SSH-2.0-front\r\nfrom the guest: "
    assert served.greetings == [GREETING]


FALLBACK = ("/bin/sh", "-c", 'echo "instead: $*" >&2; exit 7', "sh")
REFUSED = format_refusal(WrongState("The VM box is not running (state: stopped)."))


@pytest.mark.parametrize(
    ("host", "answers"),
    [
        ("box.vm", [b""]),
        ("box.vm", [OK[:1]]),
        ("box.vm", [REFUSED]),
        ("box.vm", [b"no\n"]),
        ("a" * 65 + ".vm", []),
        ("a\nb", []),
        ("", []),
        (".vm", []),
        ("-", []),
        ("b\xe4r", []),
    ],
)
def test_what_is_not_as_usual_is_left_to_python(
    private_environ: dict[str, str], program: str, host: str, answers: list[bytes]
) -> None:
    """H6: to whatever is named, which begins anew: no name that no VM has is sent before."""
    with front(private_environ, *answers) as served:
        taken = hand_over(private_environ, program, host, *FALLBACK, host)
    assert (taken.status, taken.descriptors) == (7, [])
    assert taken.stderr == f"instead: {host}\n".encode()
    assert served.greetings == [GREETING] * len(answers)


def test_the_front_of_another_installation_is_left_to_python(
    private_environ: dict[str, str], program: str
) -> None:
    """B7, H7: a link beside the front tells whose it is; nothing is sent to another's."""
    home = {name: value for name, value in private_environ.items() if name != "XDG_STATE_HOME"}
    state = private_environ | {"XDG_STATE_HOME": private_environ["HOME"] + "/s"}
    for owner, other in ((home, state), (state, home)):
        others = (
            other,
            owner | {"XDG_STATE_HOME": "/o"},
            home | {"HOME": "/o"},
            home | {"HOME": ""},
        )
        with front(owner, *[b""] * len(others), REFUSED) as served:
            for each in (*others, owner):
                assert hand_over(each, program, "box.vm", *FALLBACK).status == 7
        assert served.greetings == [b""] * len(others) + [GREETING]
        layout_of(owner).ssh_socket.unlink()


def test_clients_that_take_no_descriptor_are_left_to_python(
    private_environ: dict[str, str], program: str
) -> None:
    """H7: as a user's other programs that read the configuration."""
    with front(private_environ, OK):
        done = proxy(private_environ, "box.vm", program, "box.vm", *PROXY)
    assert (done.returncode, done.stdout) == (0, b"from the guest: input")


def test_without_a_front_or_a_place_for_one_it_is_left_to_python(
    private_environ: dict[str, str], program: str
) -> None:
    """B7: Python starts a daemon, or says why there is none."""
    for runtime in (private_environ["XDG_RUNTIME_DIR"], "/" + "x" * 200, "relative", ""):
        environ = {**private_environ, "XDG_RUNTIME_DIR": runtime}
        taken = hand_over(environ, program, "no-such.vm", *FALLBACK)
        assert (taken.status, taken.stderr) == (7, b"instead: \n")
    nothing = hand_over(private_environ, program, "box.vm", NEVER)
    assert nothing.status == 255 and NEVER.encode() in nothing.stderr


def test_it_passes_bytes_to_clients_that_take_no_descriptor(
    private_environ: dict[str, str],
) -> None:
    """H7: both ways, and each end."""
    with front(private_environ, OK):
        done = proxy(private_environ)
    assert (done.returncode, done.stdout) == (0, b"from the guest: input")


def test_a_front_that_ends_in_a_greeting_is_followed_by_another(
    private_environ: dict[str, str],
) -> None:
    """H2: it was idle, or its daemon has ended; whoever greets it then does not see that."""
    with front(private_environ, b"", OK[:1], OK) as served:
        done = proxy(private_environ)
    assert (done.returncode, done.stdout) == (0, b"from the guest: input")
    assert served.greetings == [GREETING] * 3


def test_fronts_that_all_end_are_an_error(private_environ: dict[str, str]) -> None:
    """H6: and not tried for ever."""
    with front(private_environ, *[b""] * TRIES):
        done = proxy(private_environ)
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"banger: The ssh front does not answer; its log is " in done.stderr


def test_what_a_front_refuses_is_said_and_not_tried_again(
    private_environ: dict[str, str],
) -> None:
    """H6: with the hint, on the terminal of whoever calls ssh."""
    refusal = WrongState("The VM box is not running (state: stopped).", hint="banger vm start box")
    with front(private_environ, format_refusal(refusal)):
        done = proxy(private_environ)
    assert (done.returncode, done.stdout) == (255, b"")
    expected = b"banger: The VM box is not running (state: stopped).\n  hint: banger vm start box\n"
    assert done.stderr == expected


@pytest.mark.parametrize("host", ["a" * 65 + ".vm", "a\nb", "", ".vm", "a b"])
def test_a_name_that_no_vm_has_is_not_sent(private_environ: dict[str, str], host: str) -> None:
    """E2: the front is greeted with one line."""
    with front(private_environ):
        done = proxy(private_environ, host)
    assert done.returncode == 255 and b"is not a valid VM name." in done.stderr
