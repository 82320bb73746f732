"""`vm set`, `vm console` and `vm ports` through the real command line and a real daemon."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import termios

import pytest

from tests.component.cli.terminal import Terminal
from tests.component.daemon.running import banger, layout_of, read_events

Environ = dict[str, str]


def set_(vm: Environ, *words: str) -> subprocess.CompletedProcess[bytes]:
    return banger(vm, "vm", "set", *words)


def test_a_change_says_what_was_done_and_what_waits(vm: Environ) -> None:
    done = set_(vm, "box", "--vcpu", "2", "--label", "a=b", "--no-label", "c")
    assert done.returncode == 0 and done.stdout == b""
    assert done.stderr.decode().splitlines() == [
        "changed box",
        "  Takes effect when it is restarted: vcpu. (banger vm restart box)",
    ]
    assert read_events(vm)[-1] == "changed box 2 {'a': 'b'} ['a', 'c']"
    assert set_(vm, "-q", "box", "--vcpu", "1").stderr == b""


def test_several_vms_are_changed_even_if_one_is_missing(vm: Environ) -> None:
    banger(vm, "vm", "create", "--name", "chest")
    done = set_(vm, "box", "missing", "chest", "--vcpu", "2")
    assert done.returncode == 4 and b"There is no VM missing." in done.stderr
    assert [event.split()[1] for event in read_events(vm)[-2:]] == ["box", "chest"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["box"], b"nothing to change"),
        (["box", "chest", "--name", "one"], b"one VM only"),
        (["box", "--vcpu", "0"], b"at least 1"),
        (["box", "--memory", "lots"], b"is not a size"),
        (["box", "--network", "wifi"], b"is not a network"),
        (["--vcpu", "2"], b"required"),
    ],
)
def test_what_makes_no_sense_is_refused(vm: Environ, words: list[str], why: bytes) -> None:
    """C7: before the daemon is asked."""
    events = read_events(vm)
    done = set_(vm, *words)
    assert done.returncode == 2 and why in done.stderr
    assert read_events(vm) == events


def test_ports_are_a_table_or_a_document(vm: Environ) -> None:
    banger(vm, "vm", "create", "--name", "chest")
    done = banger(vm, "vm", "ports", "box", "chest")
    assert banger(vm, "vm", "ports").stdout == done.stdout
    rows = [
        ["tcp", "0.0.0.0:80", "127.77.3.9:10080", "open"],
        ["tcp", "[::1]:8000", "127.77.3.9:8000", "blocked"],
    ]
    assert [line.split() for line in done.stdout.decode().splitlines()] == [
        ["VM", "PROTO", "GUEST", "HOST", "STATE", "LINK"],
        *(["box", *row, "-"] for row in rows),
        *(["chest", *row, "-"] for row in rows),
    ]
    assert done.stderr == b"python3 (pid 12) listens at 127.77.3.9:8000 on this host.\n"
    open_, blocked = json.loads(banger(vm, "vm", "ports", "box", "--json").stdout)
    assert open_ == {
        "vm": "box",
        "protocol": "tcp",
        "address": "0.0.0.0",
        "port": 80,
        "path": None,
        "host_address": "127.77.3.9",
        "host_port": 10080,
        "host_path": None,
        "is_published": False,
        "state": "open",
        "notice": None,
        "link": None,
    }
    assert (blocked["state"], blocked["host_port"]) == ("blocked", 8000)
    missing = banger(vm, "vm", "ports", "missing")
    assert (missing.returncode, missing.stdout) == (4, b"")


def test_a_console_is_let_go_of_by_a_key(vm: Environ) -> None:
    """H7: raw keys until then, and our terminal as it was before."""
    with contextlib.closing(Terminal(vm, "vm", "console", "box")) as terminal:
        terminal.expect(b"ctrl-] detaches.")
        terminal.send(b"echo $((6 * 7))\r")
        terminal.expect(b"42")
        assert termios.tcgetattr(terminal.slave) != terminal.before
        terminal.send(b"echo lost\x1dnot for the guest")
        terminal.expect(b"Detached from the console.")
        assert terminal.process.wait(30) == 0
        assert termios.tcgetattr(terminal.slave) == terminal.before


def test_a_console_that_ends_by_itself_says_so(vm: Environ) -> None:
    """H2."""
    with contextlib.closing(Terminal(vm, "vm", "console", "box")) as terminal:
        terminal.expect(b"ctrl-] detaches.")
        terminal.send(b"exit\r")
        terminal.expect(b"The console has closed.")
        assert terminal.process.wait(30) == 0


def test_a_console_ends_with_its_terminal_or_by_a_signal(vm: Environ) -> None:
    """H2, H7."""
    for end in (lambda t: os.kill(t.process.pid, signal.SIGTERM), Terminal.hang_up):
        with contextlib.closing(Terminal(vm, "vm", "console", "box")) as terminal:
            terminal.expect(b"ctrl-] detaches.")
            end(terminal)
            assert terminal.process.wait(30) != 0
    assert [p.read_text() for p in layout_of(vm).reports.glob("*")] == []


def test_a_console_needs_a_terminal(vm: Environ) -> None:
    done = banger(vm, "vm", "console", "box")
    assert done.returncode == 2
    assert b"needs a terminal" in done.stderr and b"vm logs --follow box" in done.stderr
