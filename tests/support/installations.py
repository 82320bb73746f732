"""One user's banger as that user has it: the command line, its daemon, its VMs, its files.

What is done goes through the real command line as a process of its own; what VMs there are this
process asks a running daemon itself, at a tenth of the CPU. Each installation has XDG directories
of its own, and `close` leaves nothing: VMs deleted, the daemon ended. Images and
kernels may be those of the whole run (`share_artifacts`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from banger.cli.terminal.output import format_json
from banger.client import Client
from banger.errors import BangerError
from banger.host.files import ensure_private_dir
from banger.host.identity import ProcessIdentity, identify
from banger.host.socketfiles import can_connect
from banger.layout import Layout, layout_from_environment
from tests.support.forked import PATH, Forked, start_banger
from tests.support.leaks import find_processes

DEADLINE_S = 300.0
"""For one command; long, since a busy machine may be ten times slower."""
LOG_TAIL = 6000
SPECIAL_DAEMON = "tests.support.special_daemon"

OPEN: list[Installation] = []
"""Those that a failed test's report is made from."""


@dataclass(frozen=True)
class Ended:
    """How a command of ours ended."""

    argv: tuple[str, ...]
    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """stdout as text, without the last newline."""
        return self.out.decode("utf-8", "replace").removesuffix("\n")


class Installation:
    """The command line and what it leads to."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = {**environ, "PYTHONPATH": PATH}
        self.layout: Layout = layout_from_environment(self.environ)
        OPEN.append(self)

    # --- commands ---

    def start(
        self,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        **options: Any,
    ) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own, all its descriptors unbuffered pipes.

        `prefix` is the command that runs ours.
        """
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return start_banger(
            *args,
            prefix=prefix,
            env={**self.environ, **(env or {})},
            start_new_session=True,
            # What a test reads itself and what `communicate` reads must be one stream.
            bufsize=0,
            **{**pipes, **options},
        )

    def run(
        self,
        *args: str | Path,
        stdin: bytes | None = None,
        status: int | None = None,
        deadline_s: float = DEADLINE_S,
        **options: Any,
    ) -> Ended:
        """Run a command to its end; without `stdin` it gets /dev/null. Check its `status`."""
        given = {} if stdin is not None else {"stdin": subprocess.DEVNULL}
        process = self.start(*args, **{**given, **options})
        return finish(process, stdin=stdin, status=status, deadline_s=deadline_s)

    def do(self, *args: str | Path, **options: Any) -> Ended:
        """Run a command that has to succeed."""
        return self.run(*args, status=0, **options)

    def exec(self, vm: str, *command: str, **options: Any) -> Ended:
        """Run a command in a guest."""
        return self.run("vm", "exec", vm, "--", *command, **options)

    def json(self, *args: str | Path) -> Any:
        """Return the document that a command prints."""
        return json.loads(self.do(*args, "--json").out)

    # --- what is there ---

    def vms(self) -> list[dict[str, Any]]:
        """Return every VM."""
        return self._ask("vm.list", "vm", "list")

    def vm(self, ref: str) -> dict[str, Any]:
        """Return one VM."""
        return self._ask("vm.show", "vm", "show", ref, ref=ref)

    def ports(self, ref: str) -> list[dict[str, Any]]:
        """Return what a VM listens on."""
        return self._ask("vm.ports", "vm", "ports", ref, ref=ref)

    def _ask(self, method: str, *command: str, **params: str) -> Any:
        """Return the document of a command; the daemon is asked for it, if it answers."""
        with contextlib.suppress(BangerError), Client(self.layout, autostart=False) as client:
            return json.loads(format_json(client.call(method, params)))
        return self.json(*command)

    def state(self, ref: str) -> str:
        """Return a VM's state."""
        return str(self.vm(ref)["state"])

    def boot_id(self, ref: str) -> str:
        """Return the random id of the guest's present boot."""
        return self.exec(ref, "cat", "/proc/sys/kernel/random/boot_id", status=0).text

    def vm_processes(self, vm_id: str | None = None) -> list[ProcessIdentity]:
        """Return every process that has a path of a VM, or of that VM, in its arguments."""
        return find_processes(self.layout.vm_dir(vm_id) if vm_id else self.layout.vms)

    def prepared(self) -> dict[str, str]:
        """Return the clones that nobody has claimed, oldest first, and states; starts no daemon."""
        if not self.layout.database.exists():
            return {}
        with self.database() as connection:
            rows = connection.execute(
                "SELECT id, state, role FROM vms ORDER BY created_at"
            ).fetchall()
        return {vm_id: state for vm_id, state, role in rows if json.loads(role)["type"] == "pooled"}

    def database(self) -> contextlib.closing[sqlite3.Connection]:
        """Open the database as somebody who tampers with it; no daemon should run."""
        return contextlib.closing(sqlite3.connect(self.layout.database, isolation_level=None))

    # --- the daemon ---

    def daemon_pid(self) -> int | None:
        """Return the running daemon's pid, or None; never starts one."""
        ended = self.run("daemon", "status", "--json")
        return int(json.loads(ended.out)["pid"]) if ended.status == 0 else None

    def kill_daemon(self) -> None:
        """End the daemon as the kernel's out-of-memory killer would."""
        pid = self.daemon_pid()
        assert pid is not None
        kill_and_wait(pid)

    @contextlib.contextmanager
    def special_daemon(
        self, *options: str, program: str = SPECIAL_DAEMON
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a daemon that does something special."""
        ensure_private_dir(self.layout.state)
        with (
            open(os.devnull) as nothing,
            open(self.layout.state / "special-daemon.out", "ab") as output,
        ):
            # Another one may change what the forkserver has imported already.
            start = Forked if program == SPECIAL_DAEMON else subprocess.Popen
            process = start(
                [sys.executable, "-m", program, *options],
                env=self.environ,
                stdin=nothing,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            wait_for(
                lambda: process.poll() is not None or can_connect(self.layout.daemon_socket),
                "the special daemon to listen",
            )
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(60)

    def stop_daemon(self) -> None:
        """End the daemon in an orderly way, if it runs."""
        self.do("daemon", "stop")

    # --- the end ---

    def delete_all(self) -> None:
        """Delete every VM."""
        for vm in self.vms():
            self.run("vm", "delete", "-q", vm["id"])

    def close(self) -> None:
        """Leave nothing."""
        try:
            self.delete_all()
            self.stop_daemon()
        finally:
            OPEN.remove(self)

    def describe(self) -> Iterator[tuple[str, str]]:
        """Yield the end of every log: what a failed test is understood by."""
        yield "daemon log", _tail(self.layout.daemon_log)
        yield "daemon output", _tail(self.layout.daemon_output)
        for directory in sorted(self.layout.vms.glob("*")):
            for log in sorted(directory.glob("*.log")):
                yield f"{directory.name} {log.name}", _tail(log)
        with contextlib.suppress(sqlite3.Error), self.database() as connection:
            for table in ("vms", "handles", "operations", "journal"):
                rows = connection.execute(f"SELECT * FROM {table}").fetchall()
                yield f"table {table}", "\n".join(map(repr, rows))


def finish(
    process: subprocess.Popen[bytes],
    *,
    stdin: bytes | None = None,
    status: int | None = None,
    deadline_s: float = DEADLINE_S,
) -> Ended:
    """Wait for a command that `start` began, with its output."""
    try:
        out, err = process.communicate(stdin, timeout=deadline_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(
            f"{process.args} did not end within {deadline_s:g} s: {out[-500:]!r} {err[-2000:]!r}"
        ) from None
    argv = [str(word) for word in process.args]  # type: ignore[union-attr]  # ours are lists
    ended = Ended(
        tuple(argv[argv.index("banger") + 1 :]),
        process.returncode,
        out or b"",
        (err or b"").decode("utf-8", "replace"),
    )
    if status is not None:
        assert ended.status == status, ended
    return ended


def read_exactly(stream: IO[bytes] | None, size: int) -> bytes:
    """Read so many bytes of a command's output, or fail."""
    assert stream is not None
    data = b""
    while len(data) < size:
        piece = stream.read(size - len(data))
        assert piece, f"the output ended after {len(data)} of {size} bytes: {data[-200:]!r}"
        data += piece
    return data


def read_line(process: subprocess.Popen[bytes]) -> bytes:
    """Read one line of a command's stdout."""
    assert process.stdout is not None
    return process.stdout.readline()


def share_artifacts(environ: dict[str, str]) -> dict[str, str]:
    """Give a private environment a data home that has the run's images and kernels.

    The data home is below the run's, since banger renames between its directories: `/tmp` may be
    another file system than the cache.
    """
    run = Path(os.environ["XDG_DATA_HOME"])
    home = Path(tempfile.mkdtemp(dir=run, prefix="own."))
    (home / "banger").mkdir(mode=0o700)
    for kind in ("images", "kernels"):
        (home / "banger" / kind).symlink_to((run / "banger" / kind).resolve())
    return {**environ, "XDG_DATA_HOME": str(home)}


def kill_and_wait(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal one process and return when it is gone."""
    identity = identify(pid)
    assert identity is not None, f"process {pid} is gone already"
    os.kill(pid, number)
    wait_for(lambda: identify(pid) != identity, f"process {pid} to end")


def wait_for(condition: Callable[[], object], what: str, *, deadline_s: float = 120.0) -> None:
    """Return when the condition holds; fail when it does not within a long time."""
    start = time.monotonic()
    while not condition():
        waited = time.monotonic() - start
        assert waited < deadline_s, f"waited {deadline_s:g} s in vain for {what}"
        # Some conditions are commands in guests, which have to run meanwhile.
        time.sleep(min(max(0.02, waited / 10), 0.1))


def _tail(path: Path) -> str:
    try:
        return path.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")
    except OSError as error:
        return f"({error})"
