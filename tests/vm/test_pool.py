"""Clones that are made before they are asked for: real QEMU, real guests, the real command line.

C4, C6, D1, D2, D3. The crash suite kills the daemon at each step of all this.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from banger.api.requests import TemplateBuild, VmCreate
from banger.config import load_settings
from banger.engine import Engine, open_engine
from banger.engine.upkeep.refilling import IDLE_S
from banger.engine.verbs.create import create_vm
from banger.engine.verbs.templates import build_template_now
from tests.support.deaths import VMMS
from tests.support.disks import read_disk
from tests.support.drivers import DRIVERS
from tests.support.environs import make_short_dir
from tests.support.installations import Ended, Installation, share_artifacts, wait_for
from tests.support.stand_in import open_installation
from tests.support.vms import TINY, TINY_IMAGE, take_tiny_template

POOL = 2
ON = {"BANGER_TEMPLATE_ENABLED": "on", "BANGER_TEMPLATE_POOL": str(POOL)}
SHAPE = {"image": TINY_IMAGE, "vcpu": 1, "memory_mib": 256, "disk_mib": 1024}
"""The same as TINY over the API."""
WHO = """
od -An -w32 -N32 -tx8 /dev/urandom
cat /proc/sys/kernel/random/uuid /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub
cat /sys/class/net/eth0/address /proc/sys/kernel/hostname
"""


EACH_DRIVER = pytest.mark.parametrize("pool", DRIVERS, indirect=True, scope="module")
"""Firecracker's is the stand-in: its guests have no files or memory of their own."""


OF_STAND_IN = pytest.mark.parametrize("pool", ["firecracker"], indirect=True, scope="module")
"""Have a test for Firecracker's alone, where a boot costs little."""


@pytest.fixture(scope="module", params=["qemu"])
def pool(request: pytest.FixtureRequest, artifacts: None, run_dir: Path) -> Iterator[Installation]:
    """An installation whose template is in use, so that clones of it wait."""
    base = make_short_dir(run_dir)
    environ = dict(os.environ)
    for name in ("STATE_HOME", "RUNTIME_DIR"):
        (base / name).mkdir(mode=0o700)
        environ[f"XDG_{name}"] = str(base / name)
    with open_installation(share_artifacts(environ) | ON, request.param) as banger:
        take_tiny_template(banger)
        yield banger


@pytest.fixture
def filled(pool: Installation) -> Installation:
    """The same, with a full pool and no VM."""
    pool.delete_all()
    if not ready(pool):
        take_tiny_template(pool)
        for _ in range(2):  # the first use of a template says nothing yet of a second
            pool.do("vm", "run", "--rm", *TINY, "--", "true")
    wait_for(lambda: len(ready(pool)) == POOL, "the pool to be full")
    return pool


def ready(banger: Installation) -> list[str]:
    """Return the ids of the clones that can be claimed."""
    return [vm_id for vm_id, state in banger.prepared().items() if state == "paused"]


def create(banger: Installation, *args: str) -> Ended:
    return banger.do("vm", "create", "--timings", *TINY, *args)


def guest_text(banger: Installation, vm: str, script: str) -> str:
    return banger.exec(vm, "sh", "-c", script, status=0).text


def is_claimed(made: Ended) -> bool:
    """Tell by the stages how a VM came to be."""
    stages = {line.split("  ")[0] for line in made.err.splitlines()}
    return "claim" in stages and "restore" not in stages


@EACH_DRIVER
def test_nobody_sees_a_clone_that_waits(filled: Installation) -> None:
    """C4: it is in no list, reached by no name, pruned by nobody, and nobody's leftover."""
    assert filled.vms() == []
    assert filled.json("daemon", "status")["vms"] == 0
    (template,) = filled.json("template", "list")
    assert (template["users"], template["waiting"]) == ([], POOL)
    waiting = ready(filled)
    assert filled.run("vm", "show", waiting[0]).status == 4
    assert filled.run("vm", "delete", waiting[0]).status == 4
    filled.do("vm", "prune", "--force")
    assert filled.json("gc", "--dry-run") == []
    assert ready(filled) == waiting


def test_a_create_claims_one(filled: Installation) -> None:
    """It has the name, labels and age that were asked for, and keeps its data."""
    waiting, before = ready(filled), time.time()
    assert is_claimed(create(filled, "--name", "mine", "--label", "a=b"))
    view = filled.vm("mine")
    assert (
        view["id"] in waiting
        and datetime.fromisoformat(view["created_at"]).timestamp() >= before - 0.001
    )
    assert (view["state"], view["labels"]) == ("running", {"a": "b"})
    names = "cat /proc/sys/kernel/hostname /etc/hostname; grep -c mine /etc/hosts"
    assert guest_text(filled, "mine", names) == "mine\nmine\n1"
    assert filled.json("template", "list")[0]["users"] == ["mine"]
    guest_text(filled, "mine", "echo kept >/root/file")
    filled.do("vm", "stop", "mine")
    assert read_disk(filled, "mine", "/root/file") == "kept\n"
    assert read_disk(filled, "mine", "/etc/hostname") == "mine\n"


@OF_STAND_IN
def test_a_claimed_vm_is_started_again(filled: Installation) -> None:
    """It is a VM like any other."""
    create(filled, "--name", "mine")
    filled.do("vm", "stop", "mine")
    filled.do("vm", "start", "mine")
    filled.exec("mine", "true", status=0)


def test_a_claimed_clone_has_the_egress_policy_that_was_asked_for(filled: Installation) -> None:
    """I7: not the one of the clones that wait."""
    assert is_claimed(create(filled, "--name", "closed", "--egress", "none"))
    filled.exec("closed", "getent", "hosts", "example.org")
    denied = [each["target"] for each in filled.json("vm", "network", "logs", "closed")]
    assert "10.0.2.3:53/udp" in denied


def test_a_claimed_vm_can_be_snapshotted_and_forked(filled: Installation) -> None:
    """Its origin is the template that it began as; a fork is no claim."""
    name = create(filled).text
    guest_text(filled, name, "echo here >/dev/shm/file")
    forked = filled.do("vm", "fork", name, "--name", "fork", "--timings")
    assert not is_claimed(forked)
    assert guest_text(filled, "fork-1", "cat /dev/shm/file") == "here"


def test_claimed_clones_are_machines_of_their_own(filled: Installation) -> None:
    """C6, C8, D2: two askers never get one clone, and no two clones share what is one's own."""
    identities, claims = [], 0

    def make_and_ask(number: int) -> tuple[bool, list[str]]:
        made = create(filled, *(("--name", f"n{number}") if number % 2 else ()))
        name = made.text
        said = [line for line in guest_text(filled, name, WHO).splitlines() if line]
        assert said[-1] == name == filled.vm(name)["name"]
        return is_claimed(made), said

    with ThreadPoolExecutor(POOL + 1) as threads:
        for claimed, said in threads.map(make_and_ask, range(POOL + 1)):
            claims += claimed
            identities.append(said)
    assert claims >= POOL
    for answers in zip(*identities, strict=True):
        assert len(set(answers)) == POOL + 1, answers


@OF_STAND_IN
def test_a_taken_name_is_refused_and_nothing_is_lost(filled: Installation) -> None:
    """C6: the clone goes on waiting."""
    create(filled, "--name", "taken")
    wait_for(lambda: len(ready(filled)) == POOL, "the pool to be full again")
    waiting = ready(filled)
    assert filled.run("vm", "create", "--name", "taken", *TINY).status == 5
    assert ready(filled) == waiting


@EACH_DRIVER
@pytest.mark.parametrize(("how", "number"), [(signal.SIGKILL, POOL), (signal.SIGSTOP, 1)])
def test_a_clone_that_does_not_answer_is_not_handed_out(
    filled: Installation, how: signal.Signals, number: int
) -> None:
    """D3: whether its VMM died or hangs, the asker gets another one, and it is gone."""
    waiting = ready(filled)[:number]
    for vm_id in waiting:
        for process in filled.vm_processes(vm_id):
            if Path(f"/proc/{process.pid}/comm").read_text().startswith(VMMS):
                os.kill(process.pid, how)
    made = create(filled, "--name", "fine")
    assert filled.vm("fine")["id"] not in waiting
    assert guest_text(filled, "fine", "echo fine") == "fine"
    assert made.status == 0
    wait_for(lambda: not set(waiting) & set(filled.prepared()), "them to be gone")
    assert not any(filled.layout.vm_dir(vm_id).exists() for vm_id in waiting)


@EACH_DRIVER
def test_who_deletes_the_template_ends_its_clones(filled: Installation) -> None:
    """C4: they are no reason to refuse."""
    key = filled.json("template", "list")[0]["key"]
    filled.do("template", "delete", key[:12])
    require_no_clones(filled)


@OF_STAND_IN
def test_who_prunes_the_template_ends_its_clones(filled: Installation) -> None:
    filled.do("template", "prune")
    require_no_clones(filled)


def require_no_clones(banger: Installation) -> None:
    assert banger.json("template", "list") == []
    assert banger.prepared() == {} and banger.vm_processes() == []
    assert list(banger.layout.vms.glob("*")) == []


@OF_STAND_IN
def test_a_daemon_takes_its_clones_along(filled: Installation) -> None:
    """B11: when its end is orderly."""
    create(filled, "--name", "stays")
    filled.stop_daemon()
    assert filled.prepared() == {}
    require_that_one_stays(filled)


@EACH_DRIVER
def test_no_clone_outlives_its_daemon(filled: Installation) -> None:
    """B5, B11: the next daemon ends those of one that was killed."""
    create(filled, "--name", "stays")
    filled.kill_daemon()
    require_that_one_stays(filled)


def require_that_one_stays(banger: Installation) -> None:
    assert [vm["name"] for vm in banger.vms()] == ["stays"]
    assert guest_text(banger, "stays", "echo fine") == "fine"
    assert banger.prepared() == {}
    assert [path.name for path in banger.layout.vms.glob("*")] == [banger.vm("stays")["id"]]


def test_an_image_can_be_deleted_while_clones_of_it_wait(
    artifacts: None, private_environ: dict[str, str]
) -> None:
    """C4: they go with it, as its templates do. The image is this test's own copy."""
    environ = share_artifacts(private_environ) | ON
    with contextlib.closing(Installation(environ)) as own:
        digest = own.json("image", "show", TINY_IMAGE)["digest"]
        images = own.layout.data / "images"
        shared = images.resolve()
        images.unlink()
        shutil.copytree(shared / digest, images / digest, symlinks=True)
        shutil.copytree(shared / "names", images / "names", symlinks=True)
        take_tiny_template(own)
        for _ in range(2):
            own.do("vm", "run", "--rm", *TINY, "--", "true")
        wait_for(lambda: ready(own), "a clone to wait")
        own.do("image", "delete", TINY_IMAGE)
        assert own.prepared() == {} and own.vm_processes() == []
        assert own.json("template", "list") == []


def in_this_process(own: Installation, work: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
    """Run `work` with an engine whose clock stands an hour back, and a pool of one clone."""
    environ = own.environ | ON | {"BANGER_TEMPLATE_POOL": "1"}
    settings = load_settings(own.layout.config_file, environ)

    async def run() -> None:
        async with open_engine(own.layout, lambda: settings) as opened:
            opened.now = lambda: time.time() - 3600
            op = opened.new_operation("template.build")
            await build_template_now(opened, op, TemplateBuild(**SHAPE))
            await work(opened)

    asyncio.run(run())


async def make_vm(opened: Engine, name: str) -> str:
    op = opened.new_operation("vm.create")
    return (await create_vm(opened, op, VmCreate(name=name, **SHAPE))).id


async def wait_until(condition: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(wait_for, condition, what)


def test_the_clock_after_a_long_wait(own: Installation) -> None:
    """D1: what waits has a clock that stands an hour back; it is right when it is claimed."""

    async def wait_and_claim(opened: Engine) -> None:
        await make_vm(opened, "first")
        await wait_until(lambda: ready(own), "a clone to wait")
        (waiting,) = ready(own)[:1]
        opened.now = time.time
        assert await make_vm(opened, "v") == waiting

    in_this_process(own, wait_and_claim)
    for _ in range(2):
        before = time.time()
        there = float(guest_text(own, "v", "date +%s.%N"))
        assert before - 1.0 <= there <= time.time() + 1.0
        guest_text(own, "v", "sleep 3")


def test_clones_go_when_memory_is_short_or_nobody_asks(own: Installation) -> None:
    """A10: and come back when there is memory, and somebody asks."""

    async def starve(opened: Engine) -> None:
        wake = opened.demand.changed.set
        await make_vm(opened, "first")
        await wait_until(lambda: ready(own), "a clone to wait")
        opened.available_mib = lambda: 0
        wake()
        await wait_until(lambda: not own.prepared(), "the pool to be empty")
        opened.available_mib = lambda: 10**6
        wake()
        await wait_until(lambda: ready(own), "a clone to wait again")
        (origin,) = opened.demand.shapes
        opened.demand.asked_at[origin] -= IDLE_S
        wake()
        await wait_until(lambda: not own.prepared(), "the pool to be empty again")
        await make_vm(opened, "second")
        await wait_until(lambda: ready(own), "a clone to wait once more")

    in_this_process(own, starve)
    assert {vm["name"] for vm in own.vms()} == {"first", "second"}
    assert own.prepared() == {}
