"""`python -m banger.client.sshproxy HOST`: an ssh `ProxyCommand`, for what the C program lacks.

Usually `banger-ssh-proxy` (native/ssh-proxy) does it, which becomes this where a daemon has to be
started, an error has to be said, or the client takes no descriptor; this one does all of it.

Connects to the ssh front, which the daemon starts when somebody does, says which VM is meant, and
hands the connection over. The front is beside the daemon's socket, and the link there tells whether
it is this installation's (`host.runtimedir`). With `ProxyUseFdpass` ssh takes the descriptor, and
this process is gone before ssh begins; for other clients, which ignore that option, it passes bytes
until either side ends. Says on stderr why there is no connection; then its status is 255, as ssh's
own.

Holds the connection only.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import sys

from banger.api.ssh import OK, format_greeting, parse_host, require_ok
from banger.client.connect import require_own_peer, require_own_state
from banger.errors import (
    BangerError,
    DaemonUnreachable,
    DeadlineExceeded,
    RuntimeDirectoryTaken,
)
from banger.layout import Layout, layout_from_environment

FAILED = 255
ANSWER_S = 60.0
"""For the answer: a busy host takes seconds to start the front."""
TRIES = 3
"""Greetings. A front that ends in the middle of one is followed by another; one whose daemon has
died still listens for a moment, and what connects then is the second to be cut off."""
STDIN, STDOUT = 0, 1
PIECE_BYTES = 65536


def main(words: list[str]) -> int:
    """Connect this process's stdin and stdout to a VM; return the exit status."""
    if len(words) != 1:
        sys.stderr.write("usage: python -m banger.client.sshproxy HOST\n")
        return 2
    try:
        with reach_front(layout_from_environment(os.environ), parse_host(words[0])) as sock:
            if takes_descriptor():
                pass_descriptor(sock)
            else:
                relay(sock)
    except BangerError as error:
        sys.stderr.write(f"banger: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  hint: {error.hint}\n")
        return FAILED
    return 0


def find_program() -> str | None:
    """Return the path of `banger-ssh-proxy`; None if this package has none for this machine."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ssh-proxy")
    path = f"{folder}/{os.uname().machine}/banger-ssh-proxy"
    return path if os.access(path, os.X_OK) else None


def reach_front(layout: Layout, ref: str) -> socket.socket:
    """Return a connection on which ssh's protocol with a VM's front begins.

    Raises:
        BangerError: there is no such VM, or it does not run, or the daemon cannot be started.
    """
    greeting = format_greeting(ref)
    for _ in range(TRIES):
        sock = _try_connect(layout, layout.daemon_socket_name) or _start_and_connect(layout, ref)
        try:
            _greet(sock, greeting, layout)
        except ConnectionError:
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise _gone(layout)


def _greet(sock: socket.socket, greeting: bytes, layout: Layout) -> None:
    """Say which VM is meant, and wait until it is served.

    Raises:
        ConnectionError: the front has ended.
        BangerError: it refuses, or does not answer.
    """
    try:
        sock.settimeout(ANSWER_S)
        sock.sendall(greeting)
        require_ok(_read_answer(sock))
        sock.settimeout(None)
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"The ssh front did not answer within {ANSWER_S:g} s; its log is {layout.ssh_output}."
        ) from error


def _start_and_connect(layout: Layout, ref: str) -> socket.socket:
    from banger.client.client import Client
    from banger.host.lockholder import read_holder

    with Client(layout) as client:
        # Any call starts a daemon; this one also tells whether there is such a VM.
        client.call("vm.show", {"ref": ref})
    sock = _try_connect(layout, read_holder(layout)[1])
    if sock is None:
        raise _gone(layout)
    return sock


def _gone(layout: Layout) -> DaemonUnreachable:
    return DaemonUnreachable(
        f"The ssh front does not answer; its log is {layout.ssh_output}.", hint="banger daemon logs"
    )


def _try_connect(layout: Layout, daemon: str) -> socket.socket | None:
    """Return a connection to the front beside a daemon's socket, if one of ours listens there."""
    path = f"{os.path.dirname(daemon)}/{os.path.basename(layout.ssh_socket_name)}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.connect(path)
        require_own_peer(sock, path)
        require_own_state(layout, daemon)
    except (OSError, RuntimeDirectoryTaken):
        sock.close()
        return None
    except BangerError:
        sock.close()
        raise
    return sock


def _read_answer(sock: socket.socket) -> bytes:
    """Return the answer's line, and read nothing of ssh's protocol, which may follow it.

    Raises:
        ConnectionResetError: the connection ended.
    """
    line = b""
    while not line.endswith(b"\n"):
        data = sock.recv(max(len(OK) - len(line), 0) or PIECE_BYTES)
        if not data or len(line) > PIECE_BYTES:
            raise ConnectionResetError
        line += data
    return line


def takes_descriptor() -> bool:
    """Tell whether whoever started this takes a descriptor.

    OpenSSH then gives one socket as both stdin and stdout; others give two pipes or sockets.
    """
    given, taken = os.fstat(STDIN), os.fstat(STDOUT)
    return stat.S_ISSOCK(taken.st_mode) and given.st_ino == taken.st_ino


def pass_descriptor(sock: socket.socket) -> None:
    """Send the connection over stdout."""
    with socket.socket(fileno=os.dup(STDOUT)) as parent:
        socket.send_fds(parent, [b"\0"], [sock.fileno()])


def relay(sock: socket.socket) -> None:
    """Pass bytes both ways until the front ends; each direction waits for its receiver."""
    sources = {STDIN: sock.fileno(), sock.fileno(): STDOUT}
    poller = select.poll()
    for source in sources:
        poller.register(source, select.POLLIN)
    while True:
        for source, _ in poller.poll():
            data = os.read(source, PIECE_BYTES)
            if not data and source == sock.fileno():
                return
            if not data:
                poller.unregister(source)
                sock.shutdown(socket.SHUT_WR)
            _write_all(sources[source], data)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
