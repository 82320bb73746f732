"""A terminal in a guest, joined with a terminal here (hazards H2, H7)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.forked import take_terminal
from tests.support.installations import Installation, wait_for

DEADLINE_S = 120.0


class Terminal:
    """The user's side of a pseudo terminal in which a command of ours runs."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self.master = master
        self.process = process
        self.seen = b""

    def expect(self, text: bytes) -> None:
        """Read until `text` has come; forget what came up to it."""
        end = time.monotonic() + DEADLINE_S
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{text!r} did not come, but {self.seen!r}"
            # EIO is how Linux says that the other end was closed.
            with contextlib.suppress(OSError):
                if data := os.read(self.master, 65536):
                    self.seen += data
                    continue
            raise AssertionError(f"the end came instead of {text!r}: {self.seen!r}")
        self.seen = self.seen.partition(text)[2]

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.master, keys)

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size; the kernel tells the foreground group by SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def wait(self) -> int:
        """Read what is left, and return the status."""
        end = time.monotonic() + DEADLINE_S
        while self.process.poll() is None and time.monotonic() < end:
            ready, _, _ = select.select([self.master], [], [], 0.05)
            if ready:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.master, 65536)
        return self.process.wait(1)


@contextlib.contextmanager
def terminal(
    banger: Installation,
    *args: str,
    rows: int = 24,
    columns: int = 80,
    term: str = "xterm-256color",
    prepare: Callable[[int], None] = lambda _: None,
) -> Iterator[Terminal]:
    """Run a command of ours as the leader of a terminal of its own, which is prepared first."""
    master, slave = pty.openpty()
    prepare(slave)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    process = banger.start(
        *args,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=take_terminal,
        env={"TERM": term},
    )
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(master)


def test_a_terminal_here_is_a_terminal_there(banger: Installation, system: str) -> None:
    """H7: a TTY of the same size and kind; its end passes the status on."""
    script = "tty; stty size; echo $TERM; exit 7"
    with terminal(
        banger, "vm", "exec", system, "--", "sh", "-c", script, rows=33, columns=111
    ) as t:
        t.expect(b"/dev/pts/")
        t.expect(b"33 111\r\n")
        t.expect(b"xterm-256color\r\n")
        assert t.wait() == 7


def test_programs_run_in_a_terminal_that_the_guest_does_not_know(
    banger: Installation, system: str
) -> None:
    """H7: top refuses to run where the terminal has no description."""
    with terminal(banger, "vm", "exec", system, "--", "top", term="xterm-kitty") as t:
        t.expect(b"load average")
        t.type(b"q")
        assert t.wait() == 0


def test_resizing(banger: Installation, system: str) -> None:
    """H7: the guest's program gets SIGWINCH and the new size."""
    # bash goes on after an interrupt when a program that it waits for did not die by it.
    script = "trap 'stty size; echo seen' WINCH; echo ready; while :; do read -rt 0.1; done"
    with terminal(banger, "vm", "exec", system, "--", "bash", "-c", script) as t:
        t.expect(b"ready\r\n")
        t.resize(50, 140)
        t.expect(b"50 140\r\nseen\r\n")
        t.type(b"\x03")
        assert t.wait() == 128 + signal.SIGINT


def test_control_c_is_a_key(banger: Installation, system: str) -> None:
    """H7: it interrupts the guest's foreground program, not us and not the guest's shell."""
    with terminal(banger, "vm", "exec", system, "--", "bash", "--norc", "-i") as t:
        t.type(b"PS1='>''>'\n")
        t.expect(b">>")
        t.type(b"sleep 7772\n")
        t.expect(b"sleep 7772")
        wait_for(lambda: banger.exec(system, "pgrep", "-x", "sleep").out, "sleep to run")
        t.type(b"\x03")
        t.expect(b">>")
        t.type(b"echo status $?\n")
        t.expect(b"status 130")
        t.type(b"exit 6\n")
        assert t.wait() == 6


def test_control_d_ends_the_input(banger: Installation, system: str) -> None:
    """H7."""
    with terminal(banger, "vm", "exec", system, "--", "cat") as t:
        t.type(b"one line\n")
        t.expect(b"one line\r\n")
        t.expect(b"one line\r\n")
        t.type(b"\x04")
        assert t.wait() == 0


def test_the_shell(banger: Installation, system: str) -> None:
    """`vm shell` is the user's login shell in the home directory."""
    with terminal(banger, "vm", "shell", system) as t:
        t.type(b"echo $0 in $PWD, $((6*7)); exit 3\n")
        t.expect(b"bash in /root, 42\r\n")
        assert t.wait() == 3


def test_a_terminal_that_is_closed(banger: Installation, system: str) -> None:
    """H2, B1: the guest's program gets its hangup; the VM and the daemon do not care."""
    daemon, boot = banger.daemon_pid(), banger.boot_id(system)
    with terminal(banger, "vm", "exec", system, "--", "sh", "-c", "echo up; exec sleep 7771") as t:
        t.expect(b"up\r\n")
        # Closing the master hangs the whole session up, as closing a window does.
        os.close(t.master)
        t.master = os.open(os.devnull, os.O_RDWR)
        assert t.process.wait(DEADLINE_S) != 0
    wait_for(lambda: not banger.exec(system, "pgrep", "-x", "sleep").out, "sleep to be gone")
    assert (banger.daemon_pid(), banger.boot_id(system)) == (daemon, boot)


def test_raw_mode_is_undone(banger: Installation, system: str) -> None:
    """H7: afterwards the user's terminal is as it was, also after our own failure."""
    for vm, status in ((system, 0), ("no-such-vm", 125)):
        with terminal(banger, "vm", "exec", vm, "--", "true") as t:
            before = termios.tcgetattr(t.master)
            assert t.wait() == status
            assert termios.tcgetattr(t.master) == before


@pytest.mark.parametrize("options", [(), ("-i",)])
def test_without_a_terminal_there_is_none(
    banger: Installation, system: str, options: tuple[str, ...]
) -> None:
    """H7: a pipe here is a pipe there."""
    ended = banger.run("vm", "exec", *options, system, "--", "tty", stdin=b"")
    assert (ended.status, ended.text) == (1, "not a tty")


def test_a_terminal_for_a_pipe(banger: Installation, system: str) -> None:
    """-t gives a TTY in the guest although there is none here."""
    ended = banger.run("vm", "exec", "-t", system, "--", "tty", stdin=b"", status=0)
    assert ended.text.startswith("/dev/pts/")


def test_a_shell_needs_a_terminal(banger: Installation, system: str) -> None:
    """H6: said at once, with what to do instead."""
    ended = banger.run("vm", "shell", system)
    assert ended.status == 125 or ended.status == 2
    assert "terminal" in ended.err and "hint:" in ended.err
