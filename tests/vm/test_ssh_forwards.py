"""Forwards from guests to clients, agents, and what editors do, with OpenSSH and a VM."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installations import Installation, read_line, wait_for
from tests.support.ssh import SshClient, free_port, wait_listening
from tests.vm.test_ports import ports_of

ASK = """python3 -c '
import socket, sys
family = socket.AF_UNIX if sys.argv[1].startswith("/") else socket.AF_INET
with socket.socket(family) as sock:
    sock.connect(sys.argv[1] if family == socket.AF_UNIX else ("127.0.0.1", int(sys.argv[1])))
    sock.sendall(b"abc" * 50000)
    sock.shutdown(socket.SHUT_WR)
    sys.stdout.buffer.write(sock.makefile("rb").read())
' """
"""Says something to a port or a Unix socket of the guest, and prints the answer."""


@pytest.fixture
def client(banger: Installation, short_dir: Path) -> SshClient:
    return SshClient(banger, short_dir)


@contextlib.contextmanager
def echo(address: tuple[str, int] | str) -> Iterator[None]:
    """A server of this host that says what its clients say, backwards."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as server:
        server.bind(address)
        server.listen()
        threading.Thread(target=_answer, args=[server], daemon=True).start()
        yield
        server.shutdown(socket.SHUT_RDWR)


def _answer(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            with client, client.makefile("rb") as file:
                client.sendall(file.read()[::-1])


def ask_through(port: int, url: str) -> str:
    """Return what is at a URL, asked for through a SOCKS proxy of this host."""
    curl = ("curl", "-sS", "--max-time", "60", "-x", f"socks5h://127.0.0.1:{port}", url)
    done = subprocess.run(curl, capture_output=True, text=True, timeout=90, check=True)
    return done.stdout.strip()


def test_remote_forwards_lead_to_the_client(client: SshClient, system: str) -> None:
    """I1: ports and Unix sockets of the guest; they end with the connection."""
    port, path, host = free_port(), str(client.folder / "e"), f"{system}.vm"
    forwards = ("-R", f"8301:127.0.0.1:{port}", "-R", f"/run/test-r.sock:{path}")
    with echo(("127.0.0.1", port)), echo(path):
        with client.forwarding(*forwards, "-v", host) as forwarding:
            assert forwarding.stderr is not None
            said = b""
            while said.count(b"remote forward success") < 2:
                line = forwarding.stderr.readline()
                assert line, f"ssh has ended: {said.decode()}"
                said += line
            assert client.ssh(host, ASK + "8301") == b"cba" * 50000
            assert client.ssh(host, ASK + "/run/test-r.sock") == b"cba" * 50000
            again = client.run(
                "ssh", "-vNo", "ExitOnForwardFailure=yes", *forwards[:2], host, status=255
            )
            assert b"in use" in again.stderr.lower()
            any_port = client.run("ssh", "-R", f"0:127.0.0.1:{port}", host, "sleep 1")
            assert b"Allocated port" in any_port.stderr
        guest = client.banger
        # Connections that have ended stay listed for a minute; state 0A is listening.
        listens = f"grep -q ':{8301:04X} 00000000:0000 0A ' /proc/net/tcp"
        closed = f"! {listens} && ! test -e /run/test-r.sock"
        wait_for(lambda: guest.exec(system, "sh", "-c", closed).status == 0, "their end")


def test_a_client_chooses_where_to(client: SshClient, system: str) -> None:
    """-D: SOCKS by the client; names are looked up in the guest."""
    port, host = free_port(), f"{system}.vm"
    serve = "python3 -m http.server 8302 --bind 0.0.0.0 -d /etc"
    with client.running("ssh", host, serve), client.forwarding("-D", str(port), host):
        wait_listening(("127.0.0.1", port))
        wait_for(lambda: 8302 in ports_of(client.banger, system), "the server")
        for name in ("localhost", system):
            assert ask_through(port, f"http://{name}:8302/hostname") == system
        refused = client.run("ssh", "-W", "no-such-host.invalid:80", host, status=255)
        assert b"no-such-host.invalid" in refused.stderr


def test_an_agent_is_forwarded_only_when_asked_for(client: SshClient, system: str) -> None:
    """I4: the caller's own, for one connection, at a socket of the user's alone."""
    agent = subprocess.run(
        ["ssh-agent", "-s", "-a", str(client.folder / "a")], capture_output=True, check=True
    )
    pid = int(agent.stdout.split(b"SSH_AGENT_PID=")[1].split(b";")[0])
    try:
        key = client.folder / "key"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mine", "-f", key], check=True
        )
        environ = client.banger.environ
        client.banger.environ = {**environ, "SSH_AUTH_SOCK": str(client.folder / "a")}
        subprocess.run(["ssh-add", "-q", key], env=client.banger.environ, check=True)
        host = f"{system}.vm"
        listed = client.ssh("-A", host, "ssh-add -l; stat -c %a $(dirname $SSH_AUTH_SOCK)")
        assert b"mine (ED25519)" in listed and listed.endswith(b"700\n")
        assert client.ssh(host, "echo $SSH_AUTH_SOCK-") == b"-\n"
        path = client.ssh("-A", host, "echo $SSH_AUTH_SOCK").decode().strip()
        gone = ("test", "!", "-e", path)
        wait_for(lambda: client.banger.exec(system, *gone).status == 0, "the socket's end")
    finally:
        subprocess.run(["kill", str(pid)], check=True)
        client.banger.environ = environ


INSTALL = b"""
mkdir -p ~/.editor/bin
cat > ~/.editor/bin/server <<'END'
import http.server
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print("listening on", server.server_port, flush=True)
server.serve_forever()
END
cd /etc
python3 ~/.editor/bin/server 2>/dev/null &
wait
"""


def test_the_three_steps_of_an_editor(client: SshClient, system: str) -> None:
    """As VS Code's: a script on bash's stdin, a server that it starts, a way to that server."""
    port = free_port()
    with client.running("ssh", "-T", "-D", str(port), f"{system}.vm", "bash") as editor:
        assert editor.stdin is not None
        editor.stdin.write(INSTALL)
        server = int(read_line(editor).split()[-1])
        assert ask_through(port, f"http://127.0.0.1:{server}/hostname") == system
