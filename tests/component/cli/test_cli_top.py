"""`vm top` as a user meets it, over a scripted daemon."""

from __future__ import annotations

import contextlib
import json
import signal

from tests.component.cli.terminal import Terminal
from tests.component.daemon.running import banger, popen

Environ = dict[str, str]


def test_what_runs_is_listed_by_pid(vm: Environ) -> None:
    done = banger(vm, "vm", "top", "box")
    header, *rows = done.stdout.decode().splitlines()
    assert header.split() == "PID USER STATE CPU MEMORY TIME COMMAND".split()
    assert [row.split() for row in rows] == [
        ["1", "root", "S", "0.5%", "12M", "1:02:03", "/sbin/init"],
        ["40", "1000", "R", "50.0%", "3M", "0:07", "evil", "\\x1b[31m", "--flag"],
    ]
    assert "[kworker]" in banger(vm, "top", "box", "--all").stdout.decode()
    documents = json.loads(banger(vm, "vm", "top", "box", "--json").stdout)
    assert (documents[0]["pid"], documents[0]["command"]) == (1, "/sbin/init")
    assert documents[0]["started_at"] == "1970-01-01T00:00:01.000Z"
    assert banger(vm, "vm", "top", "nobody").returncode == 4


def test_following_shows_the_busiest_first_in_its_place(vm: Environ) -> None:
    """E3: a guest's commands steer no terminal."""
    with contextlib.closing(Terminal(vm, "vm", "top", "--follow", "box")) as terminal:
        terminal.expect(b"\x1b[2J\x1b[HPID")
        terminal.expect(b"\x1b[HPID", keep=True)
        seen = terminal.output
        assert seen.index(b"evil") < seen.index(b"/sbin/init")
        assert b"\x1b[31m" not in seen
        terminal.send(b"\x03")
        assert terminal.process.wait(60) == 130


def test_following_as_json_is_a_line_each_time(vm: Environ) -> None:
    with popen(vm, "vm", "top", "-f", "--json", "box") as following:
        assert following.stdout is not None
        first, second = (json.loads(following.stdout.readline()) for _ in range(2))
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 130
    assert first[0]["cpu_percent"] == second[0]["cpu_percent"] == 0.0
    assert first[1]["cpu_percent"] > 0
