"""`vm stats` as a user meets it, over a scripted daemon."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

from tests.component.cli.terminal import Terminal
from tests.component.daemon.running import banger, popen

Environ = dict[str, str]
ROW = ["box", "running", "25.0%", "100M", "40M", "60M", "5M/8G", "1.0", "ms"]


def test_one_vm_is_one_row(vm: Environ) -> None:
    done = banger(vm, "vm", "stats")
    header, row = done.stdout.decode().splitlines()
    assert header.split() == "NAME STATE CPU MEMORY PRIVATE SHARED DISK AGENT".split()
    assert row.split() == ROW
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_vms_share_counts_once_in_the_last_line(vm: Environ) -> None:
    """And a paused VM is not asked; one whose agent does not answer says so, in words, too."""
    banger(vm, "vm", "create", "--name", "other", "--label", "silent=1")
    banger(vm, "vm", "create", "--name", "still")
    banger(vm, "vm", "pause", "still")
    done = banger(vm, "vm", "stats")
    _, box, other, still, total = (line.split() for line in done.stdout.decode().splitlines())
    assert box == ROW
    assert other == ["other", *ROW[1:-2], "silent"]
    assert still == ["still", "paused", "0.0%", *ROW[3:-2], "-"]
    assert total == ["TOTAL", "50.1%", "210M", "120M", "90M", "15M"]
    assert done.stderr == b"banger: other: Its agent does not answer.\n"
    document = json.loads(banger(vm, "vm", "stats", "--json", "still").stdout)
    assert [use["name"] for use in document["vms"]] == ["still"]
    assert document["total"]["memory_bytes"] == 70 * 2**20


def test_the_good_ones_are_shown_and_the_others_named(vm: Environ) -> None:
    done = banger(vm, "vm", "stats", "nobody", "box", "box")
    assert done.returncode == 4
    assert b"There is no VM nobody." in done.stderr
    assert [line.split() for line in done.stdout.decode().splitlines()[1:]] == [ROW]
    done = banger(vm, "vm", "stats", "nobody")
    assert (done.returncode, done.stdout) == (4, b"")
    assert json.loads(banger(vm, "vm", "stats", "nobody", "--json").stdout)["vms"] == []


def test_following_a_pipe_repeats_the_table(vm: Environ) -> None:
    with popen(vm, "vm", "stats", "-f") as following:
        assert following.stdout is not None
        lines = [following.stdout.readline().split() for _ in range(4)]
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 130
    assert lines[0] == lines[2] and lines[0][0] == b"NAME"
    assert lines[1] == lines[3] == [word.encode() for word in ROW]


def test_following_on_a_terminal_stays_in_its_place(vm: Environ) -> None:
    with contextlib.closing(Terminal(vm, "vm", "stats", "--follow")) as terminal:
        terminal.expect(b"\x1b[2J\x1b[HNAME")
        terminal.expect(b"\x1b[HNAME", keep=True)
        assert b"box" in terminal.output and b"\x1b[2J" not in terminal.output
        terminal.send(b"\x03")
        assert terminal.process.wait(60) == 130


def test_following_as_json_is_a_line_each_time(vm: Environ) -> None:
    with popen(vm, "vm", "stats", "-f", "--json") as following:
        assert following.stdout is not None
        documents = [json.loads(following.stdout.readline()) for _ in range(2)]
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 130
    assert [[use["name"] for use in document["vms"]] for document in documents] == [["box"]] * 2


def test_a_look_at_nothing_starts_nothing(private_environ: Environ) -> None:
    """B8."""
    assert banger(private_environ, "vm", "stats").returncode == 0
    assert json.loads(banger(private_environ, "vm", "stats", "--json").stdout)["vms"] == []
    home = Path(private_environ["HOME"]).parent
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert os.listdir(private_environ["XDG_RUNTIME_DIR"]) == []


def test_the_history_of_a_vm(vm: Environ) -> None:
    done = banger(vm, "vm", "stats", "--history", "box")
    header, *rows = (line.split() for line in done.stdout.decode().splitlines())
    assert header == "SINCE FOR CPU MEMORY PRIVATE DISK".split()
    assert [row[2:] for row in rows] == [["60s", "2.5%", "100M", "40M", "5M"]] * 2
    documents = json.loads(banger(vm, "vm", "stats", "--history", "box", "--json").stdout)
    assert documents[0]["ended_at"] == "1970-01-01T00:01:00.000Z"
    late = banger(vm, "vm", "stats", "--history", "box", "--since", "1h", "--json")
    assert json.loads(late.stdout) == []
    for words in (["--history"], ["--history", "-f", "box"], ["--since", "1h", "box"]):
        refused = banger(vm, "vm", "stats", *words)
        assert (refused.returncode, refused.stdout) == (2, b"")
        assert b"banger vm stats --history VM" in refused.stderr
