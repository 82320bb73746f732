"""A real daemon with small handlers: programs of the host stand in for programs of a guest.

`python -m tests.component.daemon.scripted` runs it in the foreground, or with
`--ready-fd N` as the command line starts it. What its handlers did is in the file
`events` of the state directory, one line each. BANGER_TEST_VERSION makes it
a daemon of another version.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass

from msgspec.structs import replace

from banger.api.requests import (
    NoParams,
    OperationRef,
    Terminal,
    VmCreate,
    VmDelete,
    VmExec,
    VmFork,
    VmList,
    VmLogs,
    VmPrune,
    VmRef,
    VmSet,
    WorkspaceInspect,
    WorkspacePrepare,
)
from banger.api.results import (
    Deleted,
    ExportedBranch,
    Listener,
    PreparedWorkspace,
    SnapshotView,
    StartedExec,
    StartedExport,
    StartedStream,
    VmPlan,
    VmView,
    WorkspacePlan,
    view_record,
)
from banger.api.sessions import SessionStart, SessionView
from banger.api.snapshots import SnapshotCreate, SnapshotRef, SnapshotRestore
from banger.api.usage import GuestProcess, UseSample, VmHistory, VmStats, VmsUse, VmUse
from banger.api.wire import _classes
from banger.api.workspaces import WorkspaceExport, WorkspaceExportBranch
from banger.daemon import dispatch
from banger.daemon.__main__ import _ready_fd, main
from banger.daemon.bindings import bind_verbs
from banger.daemon.calls import Call, Exit, Handlers
from banger.daemon.lifecycle import Control
from banger.daemon.relay import relay
from banger.daemon.verbs.status import status, stop
from banger.engine.state.running import cancel_running
from banger.engine.views.stats import sum_uses
from banger.errors import BootFailed, BranchConflict, ExecNotExecutable, ExecNotFound, VmNotFound
from banger.model.names import VmId
from banger.model.vm import Accel, VmRecord, VmState
from tests.component.daemon.scripted_workspaces import ScriptedWorkspaces
from tests.support.specs import make_spec

PATCH = bytes(range(256)) * 4096


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    status: int
    signal: int | None


class HostSession:
    """A program of this host with a process group of its own, as the guest's agent has them."""

    def __init__(self, process: asyncio.subprocess.Process, master: int | None) -> None:
        self.pid = process.pid
        self._process = process
        self._master = master

    async def write(self, data: bytes) -> object:
        if self._master is not None:
            return os.write(self._master, data)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        return True

    async def write_eof(self) -> None:
        if self._master is not None:
            os.write(self._master, b"\x04")
        elif self._process.stdin is not None:
            self._process.stdin.close()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        found: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(8)
        readers = [asyncio.create_task(self._read(found, n)) for n in self._channels()]
        left = len(readers)
        while left:
            channel, data = await found.get()
            if data:
                yield channel, data
            else:
                left -= 1

    def _channels(self) -> list[int]:
        return [1] if self._master is not None else [1, 2]

    async def _read(self, found: asyncio.Queue[tuple[int, bytes]], channel: int) -> None:
        while True:
            data = await self._read_some(channel)
            await found.put((channel, data))
            if not data:
                return

    async def _read_some(self, channel: int) -> bytes:
        if self._master is None:
            pipe = self._process.stdout if channel == 1 else self._process.stderr
            assert pipe is not None
            return await pipe.read(65536)
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._master, readable.set)
        try:
            await readable.wait()
            return os.read(self._master, 65536)
        except OSError:
            return b""
        finally:
            loop.remove_reader(self._master)

    async def wait(self) -> Ended:
        status = await self._process.wait()
        return Ended(max(status, 0), -status if status < 0 else None)

    async def resize(self, rows: int, columns: int) -> None:
        assert self._master is not None
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGWINCH)

    async def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def close(self) -> object:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()
        if self._master is not None:
            os.close(self._master)
            self._master = None
        return True


class HostConsole(HostSession):
    """A shell of this host whose client lets go of it, as one does of a console."""

    async def write_eof(self) -> None:
        await self.signal(signal.SIGHUP)


async def start_session(params: VmExec, kind: type[HostSession] = HostSession) -> HostSession:
    """Start a program of this host as a guest would."""
    argv = [word.encode("utf-8", "surrogateescape") for word in params.argv]
    env = {"PATH": "/usr/bin:/bin", **params.env}
    pipe = asyncio.subprocess.PIPE
    stdin = pipe if params.stdin else asyncio.subprocess.DEVNULL
    master, slave = pty.openpty() if params.terminal else (None, None)

    def own_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    try:
        if params.terminal is not None and slave is not None:
            size = struct.pack("4H", params.terminal.rows, params.terminal.columns, 0, 0)
            fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=slave if slave is not None else stdin,
            stdout=slave if slave is not None else pipe,
            stderr=slave if slave is not None else pipe,
            env=env,
            cwd=params.cwd,
            start_new_session=True,
            preexec_fn=own_terminal if slave is not None else None,
        )
    except FileNotFoundError as error:
        raise ExecNotFound(f"The guest has no program {params.argv[0]}.") from error
    except PermissionError as error:
        raise ExecNotExecutable(f"The guest cannot execute {params.argv[0]}.") from error
    finally:
        if slave is not None:
            os.close(slave)
    return kind(process, master)


@contextlib.asynccontextmanager
async def open_handlers(control: Control) -> AsyncIterator[Handlers]:
    vms: dict[str, VmView] = {}
    snapshots: dict[str, SnapshotView] = {}
    clock = {"looks": 0}
    is_cancelled = asyncio.Event()

    def happened(text: str) -> None:
        with open(control.layout.state / "events", "a") as file:
            file.write(text + "\n")

    def find(ref: str) -> VmView:
        for vm_id, view in vms.items():
            if ref in (vm_id, view.name):
                return view
        raise VmNotFound(f"There is no VM {ref}.", hint="banger vm list")

    async def gate() -> None:
        while not (control.layout.state / "gate").exists():  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.01)

    async def count() -> int:
        return len(vms)

    async def cancel(_: Call, params: OperationRef) -> None:
        running = control.operations.get(params.id)
        is_cancelled.set()
        if running.stage == "race":
            await asyncio.wait({running.task})
        await cancel_running(control.operations.get(params.id))

    async def list_operations(_: Call, __: NoParams) -> list[dict[str, str]]:
        return [{"id": running.operation.id} for running in control.operations.list()]

    async def create(call: Call, params: VmCreate) -> VmView:
        if params.name == "mute":
            happened("mute")
            await asyncio.Event().wait()
        call.operation.progress("boot", 0, 2)
        call.operation.note("spec", "1 vcpu | 512 MiB")
        try:
            if params.name in ("hangs", "completes", "fails"):
                happened(params.name)
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            if params.name == "fails":
                raise BootFailed("The VM did not boot.") from None
            if params.name != "completes":
                await asyncio.sleep(0.2)  # what is to be undone takes its time
                happened("create cancelled")
                raise
        if params.name == "races":
            call.operation.progress("race")
            happened("races")
            await is_cancelled.wait()
        if params.name == "unbootable":
            raise BootFailed("The VM did not boot.", hint="banger vm logs unbootable")
        if params.name == "bug":
            raise ZeroDivisionError("a bug of the test's own")
        if "fails" in params.labels:
            raise _classes()[params.labels["fails"]]("It fails.", hint="banger vm list")
        call.operation.progress("boot", 2, 2)
        view = make_view(f"{len(vms) + 1:012x}", params)
        vms[view.id] = view
        happened(f"created {view.name}")
        if params.ephemeral:

            async def forget() -> None:
                if vms.pop(view.id, None):
                    happened(f"forgot {view.name}")

            call.on_disconnect(forget)
        return view

    async def fork(call: Call, params: VmFork) -> list[VmView]:
        base = find(params.ref)
        call.operation.progress("snapshot")
        views = []
        for number in range(1, params.number + 1):
            asked = VmCreate(name=f"{params.name or base.name}-{number}", labels=base.labels)
            views.append(make_view(f"{len(vms) + 1:012x}", asked))
            vms[views[-1].id] = views[-1]
        happened(f"forked {base.name} {params.number}")
        if params.ephemeral:

            async def forget() -> None:
                for view in views:
                    if vms.pop(view.id, None):
                        happened(f"forgot {view.name}")

            call.on_disconnect(forget)
        return views

    async def pause(_: Call, params: VmRef) -> VmView:
        view = find(params.ref)
        vms[view.id] = replace(view, state=VmState.PAUSED)
        return vms[view.id]

    async def resume(_: Call, params: VmRef) -> VmView:
        view = find(params.ref)
        vms[view.id] = replace(view, state=VmState.RUNNING)
        return vms[view.id]

    async def save(_: Call, params: SnapshotCreate) -> SnapshotView:
        number = len(snapshots) + 1
        made = SnapshotView(
            id=f"{number:012x}",
            name=params.name or f"snapshot-{number}",
            vm_id=find(params.ref).id,
            created_at=0.0,
            size_bytes=1_500_000,
            users=["box-1"] * (number == 1),
        )
        snapshots[made.name] = made
        return made

    async def list_snapshots(_: Call, params: VmRef) -> list[SnapshotView]:
        vm_id = find(params.ref).id
        return [snapshot for snapshot in snapshots.values() if snapshot.vm_id == vm_id]

    async def restore(_: Call, params: SnapshotRestore) -> VmView:
        happened(f"restored {snapshots[params.name].name}")
        return find(params.ref)

    async def delete_snapshot(_: Call, params: SnapshotRef) -> Deleted:
        if params.name not in snapshots:
            raise VmNotFound(f"There is no snapshot {params.name}.")
        return Deleted(ids=[snapshots.pop(params.name).id])

    async def prepare(_: Call, params: WorkspacePrepare) -> PreparedWorkspace:
        happened(f"prepared {find(params.ref).name}")
        return PreparedWorkspace(
            guest_path=params.path,
            commit="0" * 40,
            branch="main",
            files=1,
            bytes=1,
            untracked_left_out=0,
            notices=[],
        )

    async def inspect(_: Call, params: WorkspaceInspect) -> WorkspacePlan:
        if params.result is not None and params.result.startswith("taken"):
            raise BranchConflict("A branch is in the way.", hint="none")
        return WorkspacePlan(
            host_path=params.path,
            guest_path=params.path,
            commit="0" * 40,
            branch="main",
            files=["a"],
            bytes=1,
            untracked_left_out=0,
        )

    async def export_branch(_: Call, params: WorkspaceExportBranch) -> ExportedBranch:
        name = find(params.ref).name
        happened(f"exported {name} {params.include_uncommitted} {params.fresh}")
        if find(params.ref).labels.get("slow"):
            await gate()
        if name.endswith("-3"):
            raise BranchConflict("There is a conflict.", hint="none")
        changed = not name.endswith("-2")
        return ExportedBranch(
            branch=params.branch if changed else None,
            commit="1" * 40,
            commits=int(changed),
            files=int(changed),
            uncommitted=0,
            notices=[],
        )

    async def delete(_: Call, params: VmDelete) -> Deleted:
        view = find(params.ref)
        if view.labels.get("slow"):
            happened("delete began")
            await gate()
        del vms[view.id]
        happened(f"deleted {view.name}")
        return Deleted(ids=[view.id])

    async def prune(_: Call, params: VmPrune) -> Deleted:
        ids = [vm_id for vm_id in vms if params.ids is None or vm_id in params.ids]
        for vm_id in ids if not params.dry_run else []:
            happened(f"deleted {vms.pop(vm_id).name}")
        return Deleted(ids=ids)

    async def list_(_: Call, params: VmList) -> list[VmView]:
        return list(vms.values())

    async def show(_: Call, params: VmRef) -> VmView:
        return find(params.ref)

    async def stats(_: Call, params: VmStats) -> VmsUse:
        asked = vms.values() if params.refs is None else map(find, params.refs)
        await asyncio.sleep(params.interval_s / 100)
        uses = [make_use(view) for view in asked]
        return VmsUse(interval_s=params.interval_s, vms=uses, total=sum_uses(uses))

    async def history(_: Call, params: VmHistory) -> list[UseSample]:
        find(params.ref)
        samples = [make_sample(60.0), make_sample(120.0)]
        return [each for each in samples if each.ended_at > (params.since or 0.0)]

    async def processes(_: Call, params: VmRef) -> list[GuestProcess]:
        find(params.ref)
        clock["looks"] += 1
        return make_processes(clock["looks"])

    async def run(call: Call, params: VmExec) -> Exit:
        find(params.ref)
        if "WAITS" in params.env:
            call.operation.note("notice", params.env["WAITS"])
        session = await start_session(params)
        stream = await call.start_stream(StartedExec(pid=session.pid))
        return await relay(stream, session, timeout_s=params.timeout_s)

    async def start(call: Call, params: SessionStart) -> SessionView:
        view = find(params.ref)
        if "WAITS" in params.env:
            call.operation.note("notice", params.env["WAITS"])
        what = f"{params.argv} {params.env} {params.cwd} {params.stdin} {bool(params.terminal)}"
        happened(f"started {what} in {view.name}")
        return SessionView(
            name=params.name or "busy-bee",
            vm_id=view.id,
            vm=view.name,
            state="running",
            argv=params.argv,
            terminal=False,
            takes_input=params.stdin,
            started_at=0.0,
            ended_at=None,
            status=None,
            signal=None,
            pid=1,
            output_bytes=0,
            kept_from=0,
            readers=0,
        )

    async def logs(call: Call, params: VmLogs) -> Exit:
        stream = await call.start_stream(StartedStream())
        await stream.write(1, b"\x1b[31mbooting\x1b[0m\x07\n")
        while params.follow:
            await stream.write(1, b"still\n")
            await asyncio.sleep(0.01)
        return {"status": 0}

    async def console(call: Call, params: VmRef) -> Exit:
        terminal = Terminal(rows=24, columns=80)
        program = VmExec(ref=params.ref, argv=["sh"], terminal=terminal)
        shell = await start_session(program, HostConsole)
        return await relay(await call.start_stream(StartedStream()), shell, timeout_s=None)

    async def set_(_: Call, params: VmSet) -> VmView:
        view = find(params.ref)
        if params.keep:
            happened(f"kept {view.name}")
            return view
        given = {"vcpu": params.vcpu, "name": params.name}
        changed = {key: value for key, value in given.items() if value is not None}
        vms[view.id] = replace(view, **changed)
        kept = {key: value for key, value in params.labels.items() if value is not None}
        happened(f"changed {view.name} {params.vcpu} {kept} {sorted(params.labels)}")
        return replace(vms[view.id], notice="Takes effect when it is restarted: vcpu.")

    async def plan(_: Call, params: VmCreate) -> VmPlan:
        return VmPlan(
            name=params.name,
            image="debian-bookworm",
            kernel="debian-cloud",
            vcpu=params.vcpu or 1,
            memory_mib=params.memory_mib or 512,
            disk_mib=params.disk_mib or 8192,
            network="user",
            driver="qemu",
            accel=Accel.TCG,
        )

    async def ports(_: Call, params: VmRef) -> list[Listener]:
        name = find(params.ref).name
        return [
            Listener(
                vm=name,
                protocol="tcp",
                address="0.0.0.0",
                port=80,
                host_address="127.77.3.9",
                host_port=10080,
                state="open",
            ),
            Listener(
                vm=name,
                protocol="tcp",
                address="::1",
                port=8000,
                host_address="127.77.3.9",
                host_port=8000,
                state="blocked",
                notice="python3 (pid 12) listens at 127.77.3.9:8000 on this host.",
            ),
        ]

    async def export(call: Call, params: WorkspaceExport) -> Exit:
        find(params.ref)
        notices = list(find(params.ref).labels.get("notices", "").split())
        stream = await call.start_stream(StartedExport(notices=notices))
        await stream.write(1, PATCH)
        if find(params.ref).labels.get("unsafe"):
            raise BootFailed("The patch is not safe.")
        return {"status": 0}

    async def list_images(_: Call, __: NoParams) -> list[object]:
        return []

    control.count_vms = count
    yield {
        **bind_verbs({"daemon.status": status, "daemon.stop": stop}, control=control),
        "operations.cancel": cancel,
        "operations.list": list_operations,
        "vm.create": create,
        "vm.plan": plan,
        "vm.delete": delete,
        "vm.prune": prune,
        "vm.list": list_,
        "vm.show": show,
        "vm.stats": stats,
        "vm.history": history,
        "vm.processes": processes,
        "vm.exec": run,
        "session.start": start,
        "vm.logs": logs,
        "vm.console": console,
        "vm.set": set_,
        "vm.ports": ports,
        "vm.fork": fork,
        "vm.pause": pause,
        "vm.resume": resume,
        "snapshot.create": save,
        "snapshot.list": list_snapshots,
        "snapshot.restore": restore,
        "snapshot.delete": delete_snapshot,
        "workspace.inspect": inspect,
        "workspace.prepare": prepare,
        "workspace.export": export,
        "workspace.export_branch": export_branch,
        **ScriptedWorkspaces(lambda ref: find(ref).labels).handlers(),
        "image.list": list_images,
    }


def make_view(vm_id: str, params: VmCreate) -> VmView:
    """Return a VM that says it runs."""
    spec = make_spec(
        name=params.name or f"vm-{vm_id[-2:]}",
        image="0" * 64,
        kernel="1" * 64,
        vcpu=params.vcpu or 1,
        memory_mib=params.memory_mib or 512,
        disk_mib=params.disk_mib or 8192,
        labels=params.labels,
        ephemeral=params.ephemeral,
    )
    record = VmRecord(id=VmId(vm_id), spec=spec, state=VmState.RUNNING, created_at=0.0)
    return replace(view_record(record), address="127.77.3.9", pid=1)


def make_use(view: VmView) -> VmUse:
    """Return what a VM says that it takes: shared pages with one other; `silent` says nothing."""
    is_running = view.state is VmState.RUNNING
    is_silent = bool(view.labels.get("silent"))
    return VmUse(
        id=view.id,
        name=view.name,
        state=view.state,
        cpu_percent=25.04 if is_running else 0.0,
        resident_bytes=100 * 2**20,
        private_bytes=40 * 2**20,
        shared_bytes=60 * 2**20,
        proportional_bytes=70 * 2**20,
        disk_bytes=8 * 2**30,
        disk_allocated_bytes=5 * 2**20,
        agent_ms=0.96 if is_running and not is_silent else None,
        notice="Its agent does not answer." if is_silent else None,
    )


def make_sample(ended_at: float) -> UseSample:
    """Return what a VM says that it took in a minute."""
    return UseSample(
        ended_at=ended_at,
        interval_s=60.0,
        cpu_percent=2.5,
        resident_bytes=100 * 2**20,
        private_bytes=40 * 2**20,
        disk_allocated_bytes=5 * 2**20,
    )


def make_processes(looks: int) -> list[GuestProcess]:
    """Return what a VM says that runs in it; one process is busy, and hostile."""
    init = GuestProcess(
        pid=1,
        parent=0,
        user="root",
        state="S",
        of_kernel=False,
        cpu_percent=0.5,
        cpu_s=3723.0,
        started_at=1.0,
        resident_bytes=12 * 2**20,
        command="/sbin/init",
    )
    worker = replace(init, pid=9, of_kernel=True, command="[kworker]")
    evil = replace(
        init,
        pid=40,
        user="1000",
        state="R",
        cpu_percent=50.0,
        cpu_s=6.0 + looks,
        resident_bytes=3 * 2**20,
        command="evil \x1b[31m --flag",
    )
    return [init, worker, evil]


if __name__ == "__main__":
    if "BANGER_TEST_VERSION" in os.environ:
        vars(dispatch)["VERSION"] = os.environ["BANGER_TEST_VERSION"]
    sys.exit(main(open_handlers, ready_fd=_ready_fd(sys.argv[1:])))
