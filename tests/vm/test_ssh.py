"""ssh into VMs that need no ssh server, with the real OpenSSH client."""

from __future__ import annotations

import contextlib
import subprocess
import termios
from pathlib import Path

import pytest

from tests.support.installations import Installation, kill_and_wait, read_line, wait_for
from tests.support.leaks import find_processes
from tests.support.sampling import choose_size
from tests.support.ssh import SshClient, exchange, free_port, wait_listening
from tests.support.vms import TINY
from tests.vm.test_exec_tty import terminal
from tests.vm.test_ports import ports_of

SESSIONS = choose_size(20, 50)
ECHO = """python3 -c '
import socket
server = socket.create_server(("127.0.0.1", 8201))
with server.accept()[0] as client:
    client.sendall(client.makefile("rb").read()[::-1])
'"""
"""Says what its only client says, backwards."""
UNIX_ECHO = ECHO.replace(
    'socket.create_server(("127.0.0.1", 8201))',
    'socket.socket(socket.AF_UNIX); server.bind("/run/test-ssh.sock"); server.listen()',
)


def interrupt_by_control_x(terminal: int) -> None:
    """Have a terminal's user interrupt by ^X, and stop no output by ^S."""
    now = termios.tcgetattr(terminal)
    now[0] &= ~termios.IXON
    now[6][termios.VINTR] = b"\x18"
    termios.tcsetattr(terminal, termios.TCSANOW, now)


@pytest.fixture
def client(banger: Installation, short_dir: Path) -> SshClient:
    return SshClient(banger, short_dir)


def test_a_command_runs_as_an_ssh_server_runs_it(client: SshClient, system: str) -> None:
    """H1, H7: its status, both outputs, binary input, the user's home and variables."""
    host = f"{system}.vm"
    assert client.ssh(host, "hostname; pwd; id -un").decode() == f"{system}\n/root\nroot\n"
    failed = client.run("ssh", host, "echo out; echo err >&2; exit 42", status=42)
    assert (failed.stdout, failed.stderr) == (b"out\n", b"err\n")
    data = bytes(range(256)) * 1000
    assert client.ssh(host, "cat", stdin=data) == data
    assert client.ssh("-o", "SetEnv=ONE='a b'", host, 'echo "$ONE"') == b"a b\n"
    client.ssh(host, "useradd -m -s /bin/bash user")
    assert client.ssh(f"user@{host}", "id -un; pwd").split() == [b"user", b"/home/user"]


def test_what_cannot_be_run_is_said(client: SshClient, system: str) -> None:
    """H1: 127 is the shell's; a signal and banger's own failures are 255, as of any server."""
    host = f"{system}.vm"
    assert b"not found" in client.run("ssh", host, "no-such-program", status=127).stderr
    client.run("ssh", host, "kill -9 $$", status=255)
    refused = client.run("ssh", f"stranger@{host}", "true", status=255)
    assert b"banger: " in refused.stderr and b"stranger" in refused.stderr
    assert client.run("ssh", "-s", host, "netconf", status=255).stdout == b""


def test_a_terminal_has_a_size_and_keys(banger: Installation, system: str) -> None:
    """H7: a login shell in a terminal that is resized and interrupted; its status."""
    with terminal(banger, "vm", "ssh", system, rows=30, columns=100) as t:
        t.type(b"PS1='>''>'; tty; stty size; echo $TERM; id -un\n")
        t.expect(b"/dev/pts/")
        t.expect(b"30 100\r\n")
        t.expect(b"xterm-256color\r\n")
        t.expect(b"root\r\n")
        t.expect(b">>")
        t.resize(40, 120)
        # One process for both: bash loses a key that comes while it starts the next program.
        t.type(b"sh -c 'stty size; exec sleep 1000'\n")
        t.expect(b"40 120\r\n")
        t.type(b"\x03")
        t.expect(b">>")
        t.type(b"echo over $?; exit 7\n")
        t.expect(b"over 130\r\n")
        assert t.wait() == 7


def test_a_terminal_has_the_modes_of_the_clients(banger: Installation, system: str) -> None:
    """H7: as its user has set them, such as the key that interrupts."""
    command = ("vm", "ssh", "-t", system, "stty -a; echo ready; exec sleep 1000")
    with terminal(banger, *command, prepare=interrupt_by_control_x) as t:
        t.expect(b"intr = ^X;")
        t.expect(b" -ixon ")
        t.expect(b"ready")
        t.type(b"\x18")
        assert t.wait() == 255  # ended by a signal


def test_a_client_that_leaves_hangs_up(client: SshClient, system: str) -> None:
    """H2, H3: the program ends; what has detached itself lives on."""
    detached = "setsid sh -c 'echo $$; exec sleep 7654 >/dev/null 2>&1'"
    script = f"echo $$; {detached} & cat; sleep 7653"
    with client.running("ssh", f"{system}.vm", script) as left:
        pid, other = (read_line(left).decode().strip() for _ in range(2))
        left.kill()
    guest = client.banger
    gone = ("sh", "-c", f"! kill -0 {pid}")
    wait_for(lambda: guest.exec(system, *gone).status == 0, "the program to end")
    guest.exec(system, "kill", other, status=0)


def test_local_forwards_reach_the_guest(client: SshClient, system: str) -> None:
    """I1: its loopback in both families, its names, and its Unix sockets; -L and -W."""
    port, path = free_port(), str(client.folder / "s")
    server = client.start("ssh", f"{system}.vm", ECHO)
    forwards = ("-L", f"{port}:localhost:8201", "-L", f"{path}:/run/test-ssh.sock")
    wait_for(lambda: 8201 in ports_of(client.banger, system), "the server")
    with client.forwarding(*forwards, f"{system}.vm"):
        wait_listening(path)
        assert exchange(("127.0.0.1", port), b"abc" * 100000) == b"cba" * 100000
        assert client.finish(server)[0] == 0
        with client.running("ssh", f"{system}.vm", UNIX_ECHO):
            wait_for(lambda: exchange(path, b"abc") == b"cba", "an answer by the Unix socket")
    refused = client.run("ssh", "-W", "localhost:1", f"{system}.vm", status=255)
    assert b"refused" in refused.stderr.lower()


def test_many_sessions_of_many_connections_and_of_one(client: SshClient, system: str) -> None:
    """As many at once, also over one connection (ControlMaster)."""
    host, control = f"{system}.vm", f"ControlPath={client.folder / 'c'}"
    many = [client.start("ssh", host, f"sleep 1; echo {n}") for n in range(SESSIONS)]
    assert [client.finish(each)[1] for each in many] == [b"%d\n" % n for n in range(SESSIONS)]
    with client.forwarding("-M", "-o", control, host) as master:
        wait_listening(str(client.folder / "c"))
        shared = [client.start("ssh", "-o", control, host, f"echo {n}") for n in range(SESSIONS)]
        assert [client.finish(each)[1] for each in shared] == [b"%d\n" % n for n in range(SESSIONS)]
        assert master.poll() is None


def test_vm_ssh_needs_no_configuration(banger: Installation, system: str) -> None:
    """H1: several words stay words, one is a line; ssh's own options come before."""
    done = banger.do("vm", "ssh", system, "--", "printf", "%s,", "a b", "$HOME")
    assert done.text == "a b,$HOME,"
    assert banger.do("ssh", system, "echo $HOME | tr r R").text == "/Root"
    assert banger.run("ssh", system, "-l", "nobody", "true").status == 1  # /usr/sbin/nologin
    assert banger.run("vm", "ssh", system, "exit 9").status == 9
    assert banger.do("vm", "ssh", "-T", "-o", "SetEnv=ONE=1", system, "echo $ONE").text == "1"


def test_a_vm_that_does_not_run_is_named(own: Installation, short_dir: Path) -> None:
    """H6; and a daemon is started where none runs."""
    own.do("vm", "create", "--name", "one", *TINY)
    ssh = SshClient(own, short_dir)
    assert ssh.ssh("one.vm", "echo $SSH_CONNECTION").startswith(b"127.0.0.1")
    own.do("vm", "pause", "one")
    assert b"banger vm resume one" in ssh.run("ssh", "one.vm", "true", status=255).stderr
    own.do("vm", "resume", "one")
    own.stop_daemon()
    assert ssh.ssh("one.vm", "echo again") == b"again\n"
    own.do("vm", "stop", "one")
    stopped = ssh.run("ssh", "one.vm", "true", status=255).stderr
    assert b"banger: The VM one is not running (state: stopped)." in stopped
    assert b"hint: banger vm start one" in stopped
    assert b"There is no VM other." in ssh.run("ssh", "other.vm", "true", status=255).stderr
    for name in ("other", "one"):  # by our own command without ssh's words
        refused = own.run("vm", "ssh", name, "--", "true", status=125).err
        assert refused.count("hint: ") == 1 and "proxy" not in refused


def fronts(banger: Installation) -> list[int]:
    """Return the processes of the ssh front."""
    found = find_processes(banger.layout.runtime.parent)
    return [each.pid for each in found if b"banger.ssh" in cmdline(each.pid)]


def cmdline(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_a_session_ends_with_its_front_or_its_daemon(own: Installation, short_dir: Path) -> None:
    """H2, B6: told, and nothing is left; the next connection works."""
    own.do("vm", "create", "--name", "one", *TINY)
    ssh = SshClient(own, short_dir)
    endings = (
        lambda: kill_and_wait(fronts(own)[0]),
        own.kill_daemon,
        own.stop_daemon,
    )
    for end in endings:
        with ssh.running("ssh", "one.vm", "echo $$; sleep 1000; echo never") as session:
            pid = read_line(session).decode().strip()
            assert len(fronts(own)) == 1
            end()
            status, out, err = ssh.finish(session)
            assert status == 255 and b"never" not in out, err
            assert b"banger" in err or end is endings[0], err
        gone = ("sh", "-c", f"! kill -0 {pid}")
        wait_for(lambda gone=gone: own.exec("one", *gone).status == 0, "the program to end")
        assert ssh.ssh("one.vm", "echo next") == b"next\n"
    own.do("vm", "stop", "one")
    own.stop_daemon()
    wait_for(lambda: not fronts(own), "the front to end")
    assert not own.layout.ssh_socket.exists()


def test_the_host_key_is_the_installations(own: Installation, short_dir: Path) -> None:
    """G3, I5: a VM made anew under the same name is known; a key that was lost is made anew."""
    ssh = SshClient(own, short_dir)
    own.do("vm", "create", "--name", "one", *TINY)
    assert ssh.ssh("one.vm", "echo known") == b"known\n"
    own.do("vm", "delete", "one")
    own.do("vm", "create", "--name", "one", *TINY)
    assert ssh.ssh("one.vm", "echo known") == b"known\n"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", short_dir / "other"], check=True
    )
    other = short_dir / "known_hosts"
    other.write_text(f"banger.vm {(short_dir / 'other.pub').read_text()}")
    strange = ("-o", f"UserKnownHostsFile={other}", "one.vm", "true")
    assert b"HOST IDENTIFICATION HAS CHANGED" in ssh.run("ssh", *strange, status=255).stderr
    own.stop_daemon()
    own.layout.ssh_host_key.unlink()
    assert ssh.ssh("one.vm", "echo known") == b"known\n"
    assert own.layout.ssh_host_key.stat().st_mode & 0o777 == 0o600
