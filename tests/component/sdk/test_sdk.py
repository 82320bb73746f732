"""Both clients of the package against a real daemon; programs of the host are the guest's."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import banger
from banger import errors
from banger.sdk import command
from tests.component.daemon.running import read_events, wait_until, with_sources
from tests.component.daemon.scripted import PATCH
from tests.component.sdk.conftest import Box, Environ, open_box
from tests.support.forked import Forked

Daemon = Forked

DIES = """
import os, banger
with banger.Client(autostart=False).vm(name="orphan"):
    os._exit(0)
"""


def test_a_command_gives_its_status_and_both_outputs(box: Box) -> None:
    done = box.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert done.args[0] == "sh"


def test_a_signal_is_a_negative_status(box: Box) -> None:
    """H1: as `subprocess` says it."""
    assert box.run(["sh", "-c", "kill -9 $$"]).returncode == -signal.SIGKILL


def test_output_is_text_or_bytes(box: Box) -> None:
    argv = ["printf", r"\377a"]
    assert box.run(argv).stdout == "\ufffda"
    assert box.run(argv, text=False).stdout == b"\xffa"


def test_environment_and_directory(box: Box, tmp_path: Path) -> None:
    done = box.run(["sh", "-c", "echo $A; pwd"], env={"A": "b c"}, cwd=str(tmp_path))
    assert done.stdout == f"b c\n{tmp_path}\n"


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_input_arrives_whole(box: Box, size: int) -> None:
    """H7: also what is larger than the window, while the program writes as well."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert box.run(["cat"], input=data, text=False).stdout == data


def test_input_may_be_left_unread(box: Box) -> None:
    assert box.run(["true"], input="x" * 3_000_000).returncode == 0


def test_without_input_a_command_reads_nothing(box: Box) -> None:
    assert box.run(["cat"]).stdout == ""


def test_check_raises_with_what_was_written(box: Box) -> None:
    with pytest.raises(errors.CommandFailed, match="sh exited with status 4") as caught:
        box.run(["sh", "-c", "echo why >&2; exit 4"], check=True)
    assert (caught.value.returncode, caught.value.stderr) == (4, "why\n")
    assert box.run(["true"], check=True).returncode == 0


def test_a_command_is_killed_at_its_timeout(box: Box) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        box.run(["sleep", "1000"], timeout=0.1)


def test_a_program_that_is_not_there(box: Box) -> None:
    with pytest.raises(errors.ExecNotFound):
        box.run(["no-such-program"])


def test_a_command_is_a_list_of_words(box: Box) -> None:
    with pytest.raises(errors.InvalidRequest, match="list of words"):
        box.run("ls -l")  # type: ignore[arg-type]  # what is refused


def test_output_without_an_end_is_bounded(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """E2: a guest cannot fill the memory of the program that runs its command."""
    monkeypatch.setattr(command, "OUTPUT_MAX_BYTES", 100_000)
    with pytest.raises(errors.GuestOutputTooBig):
        box.run(["yes"])
    assert box.run(["echo", "on"]).stdout == "on\n"


def test_output_is_passed_on_as_it_comes(box: Box) -> None:
    pieces: list[tuple[int, bytes]] = []

    def take(channel: int, data: bytes) -> None:
        pieces.append((channel, data))

    done = box.run(["sh", "-c", "echo out; echo err >&2; exit 3"], on_output=take)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    assert sorted(pieces) == [(1, b"out\n"), (2, b"err\n")]


def test_a_callback_that_fails_ends_the_command(box: Box) -> None:
    def fail(channel: int, data: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        box.run(["yes"], on_output=fail)


def test_a_block_makes_and_deletes_its_vm(
    daemon: Daemon, kind: str, private_environ: Environ
) -> None:
    with open_box(kind, name="box", memory="1G", labels={"a": "b"}) as box:
        assert box.state() == "running"
    with pytest.raises(ZeroDivisionError), open_box(kind, name="again"):
        raise ZeroDivisionError
    events = read_events(private_environ)
    assert events == ["created box", "deleted box", "created again", "deleted again"]


def test_a_repository_is_copied_in(daemon: Daemon, kind: str, private_environ: Environ) -> None:
    with open_box(kind, name="box", repo="."):
        assert read_events(private_environ)[-1] == "prepared box"


def test_a_vm_that_cannot_be_made(daemon: Daemon, kind: str) -> None:
    with pytest.raises(errors.BootFailed), open_box(kind, name="unbootable"):
        raise AssertionError("it was made")
    with pytest.raises(errors.InvalidRequest), open_box(kind, memory="much"):
        raise AssertionError("it was made")


def test_a_vm_is_deleted_when_its_process_dies(daemon: Daemon, private_environ: Environ) -> None:
    """B11: an ephemeral VM goes with the client that made it."""
    environ = with_sources(private_environ)
    subprocess.run([sys.executable, "-c", DIES], env=environ, timeout=60, check=True)
    wait_until(lambda: "forgot orphan" in read_events(private_environ), "the VM is deleted")


def test_what_became_of_a_command_may_be_unknown(
    daemon: Daemon, kind: str, short_dir: Path
) -> None:
    """The connection broke after the command had begun: an error of its own, and no second try."""
    began, stop = short_dir / "began", short_dir / "stop"
    script = f"echo x >> {began}; while [ ! -e {stop} ]; do sleep 0.05; done"

    def kill() -> None:
        wait_until(began.exists, "the command has begun")
        daemon.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        # The VM cannot be deleted either: there is no daemon.
        with pytest.raises(errors.DaemonUnreachable) as caught, open_box(kind, name="box") as box:
            box.run(["sh", "-c", script])
    finally:
        stop.touch()
        killer.join()
    assert isinstance(caught.value.__context__, errors.OutcomeUnknown)
    assert began.read_text() == "x\n"


def test_forks_are_there_for_a_block(box: Box, private_environ: Environ) -> None:
    assert box.fork(2) == ["box-1", "box-2"]
    assert read_events(private_environ)[1:] == ["forked box 2", "deleted box-1", "deleted box-2"]


def test_a_workspace_is_looked_at_and_fetched(box: Box, private_environ: Environ) -> None:
    assert box.do("workspace.status")["branch"] == "main"
    assert box.do("workspace.diff", style="stat", width=100).startswith("stat 100\n")
    assert box.do("workspace.apply", check=True)["done"] is False
    assert box.do("workspace.apply")["written"] == ["a"]
    assert box.do("workspace.sync", check=True)["host"]["written"] == []
    assert box.do("workspace.sync", prefer="host", names=["d"])["conflicts"] == []
    assert box.do("workspace.export_patch") == PATCH
    exported = box.do("workspace.export_branch", "tried", include_uncommitted=True, fresh=True)
    assert exported["branch"] == "tried"
    assert read_events(private_environ)[-1] == "exported box True True"


def test_snapshots_ports_and_workspaces(box: Box, private_environ: Environ) -> None:
    assert box.do("snapshot") == "snapshot-1"
    assert box.do("snapshot", "before") == "before"
    box.do("restore", "before")
    assert read_events(private_environ)[-1] == "restored before"
    assert [port["port"] for port in box.do("ports")] == [80, 8000]
    assert box.do("export_patch") == PATCH
    assert box.do("export_branch", "tried")["branch"] == "tried"


def test_vms_are_made_found_and_listed(daemon: Daemon) -> None:
    client = banger.Client(autostart=False)
    made = client.create(name="stays")
    assert client.get("stays").id == made.id
    assert [vm.name for vm in client.list()] == ["stays"]
    assert client.call("vm.list")[0]["state"] == "running"
    made.delete()
    with pytest.raises(errors.VmNotFound):
        client.get("stays")


def test_a_map_has_as_many_vms_as_it_may(daemon: Daemon, private_environ: Environ) -> None:
    def shout(vm: banger.Vm, word: str) -> str:
        return vm.name[:3] + vm.run(["echo", word]).stdout

    client = banger.Client(autostart=False)
    words = [str(n) for n in range(10)]
    assert client.map(shout, words, vms=3) == [f"vm-{word}\n" for word in words]
    assert client.map(shout, [], vms=3) == []
    events = [event.split()[0] for event in read_events(private_environ)]
    assert sorted(events) == ["created"] * 3 + ["deleted"] * 3


def test_a_map_ends_with_its_first_error(daemon: Daemon, private_environ: Environ) -> None:
    """What another VM is at goes on to its end; nobody begins an item after the error."""
    asked: list[int] = []
    both = threading.Barrier(2)

    def is_one_deleted() -> bool:
        return any(event.startswith("deleted") for event in read_events(private_environ))

    def fail(vm: banger.Vm, number: int) -> None:
        asked.append(number)
        both.wait(60)
        if number == 1:
            raise ZeroDivisionError
        wait_until(is_one_deleted, "the VM of the failed call is deleted")

    with pytest.raises(ZeroDivisionError):
        banger.Client(autostart=False).map(fail, range(100), vms=2)
    assert sorted(asked) == [0, 1]
    assert len(read_events(private_environ)) == 4


def test_a_map_that_is_interrupted_begins_no_more(daemon: Daemon, private_environ: Environ) -> None:
    """B11: the VMs go when what they are at has ended, though many items are left."""
    asked: list[int] = []

    def interrupt(vm: banger.Vm, number: int) -> None:
        asked.append(number)
        if number == 0:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        vm.run(["true"])

    with pytest.raises(KeyboardInterrupt):
        banger.Client(autostart=False).map(interrupt, range(500), vms=1)
    assert len(asked) < 500
    assert read_events(private_environ)[-1].startswith("deleted")


def test_a_map_whose_vms_cannot_be_made(daemon: Daemon) -> None:
    asked: list[int] = []
    with pytest.raises(errors.BootFailed):
        banger.Client(autostart=False).map(
            lambda _, number: asked.append(number), range(3), vms=1, name="unbootable"
        )
    assert asked == []


def test_a_map_in_a_loop(daemon: Daemon, private_environ: Environ) -> None:
    async def shout(vm: banger.AsyncVm, word: str) -> str:
        return vm.name[:3] + (await vm.run(["echo", word])).stdout

    async def fail(vm: banger.AsyncVm, number: int) -> None:
        asked.append(number)
        raise ZeroDivisionError

    asked: list[int] = []
    client = banger.AsyncClient(autostart=False)
    words = [str(n) for n in range(10)]
    assert asyncio.run(client.map(shout, words, vms=3)) == [f"vm-{word}\n" for word in words]
    with pytest.raises(ZeroDivisionError):
        asyncio.run(client.map(fail, range(100), vms=1))
    assert asked == [0]
    events = [event.split()[0] for event in read_events(private_environ)]
    assert sorted(events) == ["created"] * 4 + ["deleted"] * 4


def test_a_map_that_is_cancelled_deletes_its_vms(daemon: Daemon, private_environ: Environ) -> None:
    """C5: whoever waits can be cancelled, and nothing stays."""
    began: set[int] = set()

    async def hang(vm: banger.AsyncVm, number: int) -> None:
        began.add(number)
        await vm.run(["sleep", "1000"])

    async def run() -> None:
        task = asyncio.create_task(banger.AsyncClient(autostart=False).map(hang, range(9), vms=2))
        while len(began) < 2:  # noqa: ASYNC110 - what is waited for is in two tasks
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert began == {0, 1}
    assert banger.Client(autostart=False).list() == []


def test_a_map_needs_a_vm(daemon: Daemon) -> None:
    with pytest.raises(errors.InvalidRequest, match="0 is not a number of VMs"):
        banger.Client(autostart=False).map(lambda _, __: None, [1], vms=0)


def test_200_commands_at_once_from_one_loop(daemon: Daemon) -> None:
    async def run() -> list[str]:
        async with banger.AsyncClient(autostart=False).vm(name="box") as vm:
            done = await asyncio.gather(*(vm.run(["echo", str(n)]) for n in range(200)))
            return [each.stdout for each in done]

    assert asyncio.run(run()) == [f"{n}\n" for n in range(200)]


def test_200_commands_from_threads_that_share_a_vm(daemon: Daemon) -> None:
    with banger.Client(autostart=False).vm(name="box") as vm, ThreadPoolExecutor(32) as pool:
        done = pool.map(lambda n: vm.run(["echo", str(n)]).stdout, range(200))
        assert list(done) == [f"{n}\n" for n in range(200)]


def test_a_cancelled_task_ends_its_command(daemon: Daemon, short_dir: Path) -> None:
    """H2: the program goes with whoever waits for it."""
    pid = short_dir / "pid"

    async def run() -> None:
        async with banger.AsyncClient(autostart=False).vm(name="box") as vm:
            task = asyncio.create_task(vm.run(["sh", "-c", f"echo $$ > {pid}; exec sleep 1000"]))
            while not pid.exists() or not pid.read_text():  # noqa: ASYNC110 - another process's
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    process = Path(f"/proc/{int(pid.read_text())}")
    wait_until(lambda: not process.exists(), "the command has ended")


def test_without_a_daemon(private_environ: Environ, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in private_environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(errors.DaemonUnreachable):
        banger.Client(autostart=False).list()
    with pytest.raises(errors.DaemonUnreachable):
        asyncio.run(banger.AsyncClient(autostart=False).list())


def test_importing_the_package_imports_nothing() -> None:
    program = (
        "import sys; before = set(sys.modules); import banger; print(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{program}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["banger"]


def test_the_types_are_not_imported_at_run_time() -> None:
    """Product contract, section 10: a program that uses the library starts as a command does."""
    program = "import banger; banger.Client, banger.AsyncClient; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{program}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(done.stdout.split())
    assert "banger.sdk.aio" in loaded
    assert not {"banger.api.documents", "banger.client.calls", "msgspec"} & loaded


def test_names_are_there_on_use() -> None:
    assert all(getattr(banger, name) for name in banger.__all__)
    with pytest.raises(AttributeError):
        _ = banger.nothing  # type: ignore[attr-defined]  # that is what is tested
