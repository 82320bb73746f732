"""A program that the tests' server forks runs as one that is started by itself."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.forkserver import Forked, end_forkserver, fork_program

PROGRAM = """
import json, os, signal, sys
import sitecustomize
print(json.dumps({
    "name": __name__,
    "customized": sitecustomize.said,
    "arguments": sys.argv[1:],
    "environ": dict(os.environ),
    "directory": os.getcwd(),
    "fds": sorted(set(map(int, os.listdir("/proc/self/fd"))) - {3}),
    "said": os.read(9, 100).decode(),
    "ignored": [number for number in signal.valid_signals()
                if signal.getsignal(number) is signal.SIG_IGN],
    "leads": os.getsid(0) == os.getpid(),
}), flush=True)
sys.stdin.read()
sys.exit(7)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that only its own environment finds."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path/forked_program.py").write_text(PROGRAM)
    (tmp_path / "path/sitecustomize.py").write_text("import sys\nsaid = sys.orig_argv[1:]\n")
    monkeypatch.chdir(tmp_path)
    return "forked_program"


def start(program: str, *arguments: str, new_session: bool = False) -> tuple[Forked, int, int]:
    """Start it; return it, what its input is written to and what its output is read from."""
    stdin, to_it = os.pipe()
    from_it, stdout = os.pipe()
    nine, word = os.pipe()
    os.write(word, b"word")
    forked = fork_program(
        program,
        *arguments,
        environ={"PYTHONPATH": os.path.abspath("path")},
        fds={0: stdin, 1: stdout, 9: nine},
        new_session=new_session,
    )
    for fd in (stdin, stdout, nine, word):
        os.close(fd)
    return forked, to_it, from_it


def test_it_has_what_it_was_given(program: str) -> None:
    forked, to_it, from_it = start(program, "a", "--b", new_session=True)
    with open(from_it, "rb") as output:
        told = json.loads(output.readline())
    assert told.pop("ignored") == [signal.SIGPIPE, signal.SIGXFSZ]
    assert told == {
        "name": "__main__",
        "customized": ["-m", program, "a", "--b"],
        "arguments": ["a", "--b"],
        "environ": {"PYTHONPATH": os.path.abspath("path")},
        "directory": os.getcwd(),
        "fds": [0, 1, 2, 9],
        "said": "word",
        "leads": True,
    }
    assert forked.poll() is None
    os.close(to_it)
    assert (forked.wait(60), forked.poll()) == (7, 7)


@pytest.mark.parametrize("end", [Forked.terminate, Forked.kill])
def test_a_signal_ends_it(program: str, end: object) -> None:
    forked, to_it, from_it = start(program)
    with open(from_it, "rb") as output, open(to_it, "wb"):
        output.readline()
        assert callable(end)
        end(forked)
        number = signal.SIGKILL if end is Forked.kill else signal.SIGTERM
        assert forked.wait(60) == -number
        assert output.read() == b""


def test_it_goes_on_without_the_server(program: str) -> None:
    """Also where a process that was forked meanwhile has the way to the server open."""
    forked, to_it, from_it = start(program)
    with open(from_it, "rb") as output:
        output.readline()
        ready, written = os.pipe()
        if (holder := os.fork()) == 0:
            os.close(written)
            os.read(ready, 1)
            os._exit(0)
        os.close(ready)
        try:
            end_forkserver()
        finally:
            os.close(written)
            os.waitpid(holder, 0)
        assert forked.poll() is None
        os.close(to_it)
        assert forked.wait(60) == 7
