"""A program that a server of the tests forks runs, and ends, as one that is started by itself."""

from __future__ import annotations

import gc
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.host.programs import spawn_detached
from tests.support import forked
from tests.support.forked import (
    PATH,
    Forked,
    end_forkservers,
    find_daemon_server,
    polling,
    spawn_daemon,
    start_banger,
    take_terminal,
)
from tests.support.installations import wait_for

STATE = """
import json, os, resource, signal, sys, time
import sitecustomize
streams = [
    [s.name, s.fileno(), s.mode, s.encoding, s.errors, s.line_buffering, s.write_through]
    for s in (sys.stdin, sys.stdout, sys.stderr)
]
print(json.dumps({
    "name": __name__,
    "file": __file__,
    "customized": sitecustomize.said,
    "arguments": sys.argv,
    "path": sys.path[:1],
    "environ": dict(os.environ),
    "directory": os.getcwd(),
    "fds": sorted(map(int, os.listdir("/proc/self/fd"))),
    "said": os.pread(int(sys.argv[1]), 100, 0).decode(),
    "signals": {n: str(signal.getsignal(n)).partition(" at ")[0] for n in signal.valid_signals()},
    "mask": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "limits": [resource.getrlimit(number) for number in range(16)],
    "umask": os.umask(0),
    "zone": time.strftime("%Z", time.localtime(0)),
    "streams": streams,
    "group": "its own" if os.getpgrp() == os.getpid() else os.getpgrp(),
    "session": "its own" if os.getsid(0) == os.getpid() else os.getsid(0),
    "foreground": os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp(),
}), flush=True)
"""
ENDS = {
    "status": "sys.exit(7)",
    "words": "sys.exit('no')",
    "error": "raise ValueError('no')",
    "interrupt": "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)",
    "signal": "os.kill(os.getpid(), signal.SIGTERM)",
    "reader gone": "signal.signal(signal.SIGPIPE, signal.SIG_DFL); os.write(1, bytes(1 << 20))",
    "flush": "os.dup2(os.open('/dev/full', os.O_WRONLY), 1); print('lost')",
    "at exit": "atexit.register(print, 'later'); print('first')",
    "thread": "threading.Thread(target=lambda: (time.sleep(0.1), print('later'))).start()",
    "object": "x = type('X', (), {'__del__': lambda self: os.write(2, b'gone')})()",
    "os._exit": "print('lost'); os._exit(3)",
}
ENDS_HEAD = "import atexit, os, signal, sys, threading, time\nif sys.argv[1:]: input()\n"


@pytest.fixture(scope="module", autouse=True, params=["", "1"])
def unbuffered(request: pytest.FixtureRequest) -> Iterator[None]:
    """Servers without PYTHONUNBUFFERED, and with it, whatever the environment of the tests has."""
    end_forkservers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONUNBUFFERED", request.param)
        yield
    end_forkservers()


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An environment, and a directory, in which only our modules are found; a umask of its own."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path/forked_program.py").write_text(STATE)
    (tmp_path / "path/sitecustomize.py").write_text("import sys\nsaid = sys.orig_argv[1:]\n")
    monkeypatch.chdir(tmp_path)
    # The server has its own umask and limits by now.
    Forked([sys.executable, "-m", "this"], stdout=subprocess.DEVNULL).wait()
    umask = os.umask(0o027)
    own = {"PYTHONPATH": str(tmp_path / "path"), "TZ": "XYZ-5", "ODD": "\udcff"}
    with open("word", "w+b", buffering=0) as word:
        word.write(b"word")
        yield {**os.environ, **own, "WORD": str(word.fileno())}
    os.umask(umask)


def tell(kind: type[subprocess.Popen[bytes]], environ: dict[str, str], **options: Any) -> Any:
    """Return what the program says of itself; it gets a descriptor that gives a word."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[0] - 1, limits[1]))
    argv = [sys.executable, "-m", "forked_program", environ["WORD"], "--b", "\udcfe"]
    options |= {"stdout": subprocess.PIPE, "pass_fds": [int(environ["WORD"])]}
    try:
        with kind(argv, env=environ, **options) as process:
            return json.loads(process.communicate(timeout=60)[0])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("own_session", [False, True])
def test_it_has_what_one_started_by_itself_has(environ: dict[str, str], own_session: bool) -> None:
    options = {"stdin": subprocess.DEVNULL, "cwd": "/", "start_new_session": own_session}
    real, ours = (tell(kind, environ, **options) for kind in (subprocess.Popen, Forked))
    assert ours == real
    assert (ours["said"], ours["umask"], ours["zone"]) == ("word", 0o027, "XYZ")


def test_a_started_daemon_has_what_one_started_by_itself_has(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(forked, "spawn_detached")
    fd = int(environ["WORD"])
    argv = [sys.executable, "-P", "-m", "forked_program", str(fd), "--b", "\udcfe"]
    path = os.pathsep.join((environ["PYTHONPATH"], PATH))
    own = forked.DAEMON_START | {"PYTHONPATH": path, "TZ": "XYZ-5", "ODD": "\udcff"}
    logs = [Path("real").absolute(), Path("forked").absolute()]
    pid = spawn_detached(argv, log_file=logs[0], pass_fds=[fd], env=own)
    spawn_daemon(find_daemon_server(), argv, log_file=logs[1], pass_fds=[fd], env=own)
    wait_for(lambda: all(b"\n" in log.read_bytes() for log in logs), "what they say")
    os.waitpid(pid, 0)
    told = [json.loads(log.read_bytes()) | {"mode": log.stat().st_mode} for log in logs]
    assert told[1] == told[0]
    assert (told[1]["said"], told[1]["session"], told[1]["zone"]) == ("word", "its own", "XYZ")


def test_it_has_its_terminal(environ: dict[str, str]) -> None:
    told = []
    for kind in (subprocess.Popen, Forked):
        master, slave = pty.openpty()
        own = {"start_new_session": True, "preexec_fn": take_terminal}
        told.append(tell(kind, environ, stdin=slave, stderr=slave, **own))
        os.close(slave)
        os.close(master)
    assert told[1] == told[0]
    assert told[1]["foreground"]


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_as_one_started_by_itself(environ: dict[str, str], end: str) -> None:
    Path("path/forked_program.py").write_text(ENDS_HEAD + ENDS[end])
    ended = []
    for kind in (subprocess.Popen, Forked):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        waits = ["waits"] if end == "reader gone" else []
        argv = [sys.executable, "-m", "forked_program", *waits]
        with kind(argv, env=environ, **pipes) as process:
            if waits:
                assert process.stdout
                process.stdout.close()
            out, err = process.communicate(b"\n" if waits else None, timeout=60)
            ended.append((process.returncode, out, err.splitlines()[-1:]))
    assert ended[1] == ended[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_signal_at_once_ends_it(environ: dict[str, str], number: signal.Signals) -> None:
    Path("path/forked_program.py").write_text("import time\ntime.sleep(60)\n")
    argv = [sys.executable, "-m", "forked_program"]
    with Forked(argv, env=environ, stderr=subprocess.DEVNULL) as process:
        process.send_signal(number)
        assert process.wait(50) == -number
        process.send_signal(number)
        assert process.poll() == -number


def test_it_may_be_collected_while_another_one_is_polled() -> None:
    process = Forked([sys.executable, "-m", "this"], stdout=subprocess.DEVNULL)
    process.wait()
    process.cycle = process  # type: ignore[attr-defined]  # for the garbage collector
    known = weakref.ref(process)
    del process
    with polling:
        gc.collect()
    assert known() is None


def test_it_goes_on_without_the_server(environ: dict[str, str]) -> None:
    """Also where a process that was forked meanwhile has the way to the server open."""
    Path("path/forked_program.py").write_text("print(input(), flush=True)\n")
    argv = [sys.executable, "-m", "forked_program"]
    process = Forked(argv, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ready, written = os.pipe()
    if (holder := os.fork()) == 0:
        os.close(written)
        os.read(ready, 1)
        os._exit(0)
    os.close(ready)
    try:
        end_forkservers()
    finally:
        os.close(written)
        os.waitpid(holder, 0)
    assert process.stdin and process.stdout
    with process.stdin as stdin:
        stdin.write(b"word\n")
    with process.stdout as stdout:
        assert stdout.read() == b"word\n"
    with pytest.raises(AssertionError, match="forkserver"):
        process.wait(60)
    process.returncode = 0  # nobody knows


def test_who_dies_before_it_has_read_the_pid_ends_no_server(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("path/forked_program.py").write_text("input()\n")
    argv = [sys.executable, "-m", "forked_program"]
    pids = []

    def die(process: Forked, _: str) -> str:
        pids.append(process._control.recv(64, socket.MSG_PEEK).decode().split()[1])
        process._control.close()
        raise EOFError

    with monkeypatch.context() as patch:
        patch.setattr(Forked, "_receive", die)
        with pytest.raises(EOFError):
            Forked(argv, env=environ, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wait_for(lambda: not Path("/proc", pids[0]).exists(), "its end")
    assert Forked([sys.executable, "-m", "this"], stdout=subprocess.DEVNULL).wait() == 0


def test_what_it_cannot_have_is_told(environ: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match="forkserver"):
        Forked([sys.executable, "-m", "forked_program"], env=environ, cwd="/no/such")


@pytest.mark.parametrize(
    ("changed", "is_forked"),
    [
        ({}, True),
        ({"HOME": "/"}, True),
        ({"PYTHONPATH": f"/odd:{PATH}"}, True),
        ({"PYTHONPATH": f"{PATH}:/odd"}, False),
        ({"PYTHONODD": "1"}, False),
        ({"LC_ODD": "C"}, False),
        ({"LANG": "xx_YY.ISO-8859-1"}, False),
        ({"LD_ODD": "1"}, False),
        ({"X": "x" * 100_000}, False),
    ],
)
def test_what_python_reads_at_its_start_has_it_started_by_itself(
    changed: dict[str, str], is_forked: bool
) -> None:
    environ = {**os.environ, "PYTHONPATH": PATH, **changed}
    with start_banger("version", env=environ, stdout=subprocess.PIPE) as process:
        assert isinstance(process, Forked) == is_forked
        assert process.communicate(timeout=60)[0].startswith(b"banger ")
    assert process.returncode == 0


def test_every_start_can_be_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANGER_TEST_FORK", "0")
    environ = {**os.environ, "PYTHONPATH": PATH}
    with start_banger("version", env=environ, stdout=subprocess.DEVNULL) as process:
        assert not isinstance(process, Forked)
    assert process.returncode == 0
