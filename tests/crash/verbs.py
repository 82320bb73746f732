"""What each scenario of `points.py` needs before, does, and may leave."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from banger.client import Client
from tests.support.imports import BUSYBOX, import_layers
from tests.support.installations import wait_for
from tests.support.repositories import make_repository
from tests.support.tars import Member, make_tar, symlink
from tests.support.worlds import SHAPE, World

Act = Callable[[World], object]

RUNS, PAUSED, ENDED = {"one": "running"}, {"one": "paused"}, {"one": "stopped"}
CREATED: dict[str, str] = {"one": "created"}
GONE: dict[str, str] = {}
FORKS = (
    {"copy-1": "running"},
    {"copy-2": "running"},
    {"copy-1": "running", "copy-2": "running"},
)
GROWN_MIB = 1536


class Verb(NamedTuple):
    """What is done for each death."""

    prepare: Act
    act: Act
    check: Act
    pool: int = 0
    """How many clones the daemon has waiting."""


# --- what is there before ---


def ensure_created(world: World) -> None:
    world.delete_others()
    world.call("vm.create", **world.networked, name="one", start=False)


def ensure_grown(world: World) -> None:
    """Have a VM whose disk is larger than what was made for it."""
    ensure_created(world)
    world.call("vm.set", ref="one", disk_mib=GROWN_MIB)


def ensure_running(world: World) -> None:
    """Have the VM `one` with data; one that a death has left running must have it still."""
    states = world.states()
    if states not in (RUNS, PAUSED):
        world.delete_others()
        world.make_witness("one")
        return
    if states == PAUSED:
        world.call("vm.resume", ref="one")
    world.require_unharmed("one")


def ensure_paused(world: World) -> None:
    ensure_running(world)
    world.call("vm.pause", ref="one")


def ensure_unsaved_data(world: World) -> None:
    """Have a VM that runs and has written what is not flushed."""
    if world.states() != RUNS:
        world.delete_others()
        world.call("vm.create", **SHAPE, name="one")
    world.written = f"{next(NUMBERS)}"
    world.write_line("one", world.written)


NUMBERS = itertools.count()
ENTRYPOINT = ["sh", "-c", "echo started >>/starts; exec sleep 9999"]


def ensure_entrypoint_image(world: World) -> None:
    """Have an image, and a template of it, that names a program to run."""
    world.delete_others()
    if world.entrypoint_image is None:
        programs = (symlink(f"bin/{name}", "busybox") for name in ("sh", "cat", "sleep"))
        layer = make_tar(Member("bin/busybox", BUSYBOX.read_bytes(), mode=0o755), *programs)
        config = {"Env": ["PATH=/bin"], "Entrypoint": ENTRYPOINT}
        with tempfile.TemporaryDirectory() as folder:
            world.entrypoint_image = import_layers(world.banger, Path(folder), [layer], **config)
    world.call("template.build", **{**SHAPE, "image": world.entrypoint_image})


def ensure_read_only_workspace(world: World) -> None:
    """Have a VM that is stopped, with a workspace that its guest may not write."""
    if world.states() != ENDED:
        world.delete_others()
        world.call("vm.create", **SHAPE, name="one")
        install = "cd /usr/bin && cat >mount && chmod 755 mount && ln mount umount"
        world.banger.exec("one", "sh", "-c", install, stdin=BUSYBOX.read_bytes(), status=0)
        with tempfile.TemporaryDirectory() as folder:
            make_repository(Path(folder), files=60, total_mib=1)
            world.call("workspace.prepare", ref="one", path=folder, read_only=True)
        world.call("vm.stop", ref="one")


def is_read_only_if_it_runs(world: World) -> None:
    one_of(ENDED, RUNS)(world)
    if world.states() == RUNS:
        script = "touch $(ls -d /root/*)/new 2>/dev/null || echo refused"
        assert world.exec("one", script) == "refused\n"


def ensure_no_snapshot(world: World) -> None:
    ensure_running(world)
    for snapshot in world.call("snapshot.list", ref="one"):
        world.call("snapshot.delete", ref="one", name=snapshot["name"])


def ensure_paused_without_snapshot(world: World) -> None:
    ensure_no_snapshot(world)
    world.call("vm.pause", ref="one")


def ensure_snapshot(world: World) -> None:
    """Have a VM that has changed, in memory and on disk, since its snapshot."""
    world.forget("one")  # the last restore has put it back
    ensure_running(world)
    if not world.call("snapshot.list", ref="one"):
        world.call("snapshot.create", ref="one", name="first")
    world.change("one")


def ensure_unforked(world: World) -> None:
    for name in world.states():
        if name != "one":
            world.call("vm.delete", ref=name)
    ensure_running(world)


def ensure_no_template(world: World) -> None:
    world.delete_others()
    for template in world.call("template.list"):
        if template["memory_mib"] == 128:
            world.call("template.delete", ref=template["key"])


def ensure_client_that_may_leave(world: World) -> None:
    world.delete_others()
    world.call("vm.create", **SHAPE, name="one", ephemeral=True)


def ensure_waiting(world: World) -> None:
    """Have a clone that waits."""
    world.delete_others()
    if not has_waiting(world):
        world.call("vm.create", **world.networked, name="use")
        world.call("vm.delete", ref="use")
        wait_for(lambda: has_waiting(world), "a clone to wait")


def has_waiting(world: World) -> bool:
    return "paused" in world.banger.prepared().values()


# --- what is done ---


def call(method: str, **params: Any) -> Act:
    return lambda world: world.call(method, **params)


def create_networked(world: World) -> None:
    world.call("vm.create", **world.networked, name="one")


def run_and_leave(world: World) -> None:
    """Make a VM for a connection, and close that."""
    with Client(world.banger.layout, autostart=False) as client:
        client.call("vm.create", {**SHAPE, "name": "one", "ephemeral": True})
    wait_for(lambda: not world.states(), "the VM to be deleted")


def create_with_entrypoint(world: World) -> None:
    image = world.entrypoint_image
    world.call("vm.create", **{**SHAPE, "image": image}, name="one", entrypoint=True)


def claim_and_let_fill(world: World) -> None:
    """Claim the clone that waits, and wait for the next one."""
    create_networked(world)
    wait_for(
        lambda: world.daemon.poll() is not None or has_waiting(world), "a clone to wait, or a death"
    )


# --- what is the case afterwards ---


def one_of(*allowed: dict[str, str]) -> Act:
    """Return a check of what VMs there are besides the witness."""

    def check(world: World) -> None:
        assert world.states() in allowed, world.states()
        for name, state in world.states().items():
            if state == "running":
                world.require_answers(name)

    return check


def is_grown_if_it_runs(world: World) -> None:
    one_of(CREATED, ENDED, RUNS)(world)
    if world.states() == RUNS:
        assert world.measure_disk_mib("one") > GROWN_MIB * 0.8


def has_one_entrypoint_if_it_runs(world: World) -> None:
    one_of(GONE, RUNS)(world)
    if world.states() == RUNS:
        assert world.exec("one", "cat /starts") == "started\n"


def has_all_data(*allowed: dict[str, str]) -> Act:
    """Return a check that an end has flushed what the guest wrote (A1)."""

    def check(world: World) -> None:
        one_of(*allowed)(world)
        if world.states() != RUNS and world.driver != "qemu":  # whose guests take seconds to boot
            world.call("vm.start", ref="one")
        assert world.read_last_line("one") == world.written

    return check


def is_of_one_moment(world: World) -> None:
    one_of(RUNS, ENDED)(world)
    if world.states() == RUNS:
        world.require_one_moment("one")


def is_wholly_changed_or_not(world: World) -> None:
    (vm,) = [vm for vm in world.vms() if vm["name"] != "witness"]
    facts = (vm["name"], vm["vcpu"], vm["labels"])
    assert facts in (("one", 1, {}), ("two", 2, {"a": "b"})), facts


VERBS: dict[str, Verb] = {
    "create": Verb(
        World.delete_others,
        call("vm.create", **SHAPE, name="one", start=False),
        one_of(GONE, CREATED),
    ),
    "start": Verb(ensure_grown, call("vm.start", ref="one"), is_grown_if_it_runs),
    "start of a read-only workspace": Verb(
        ensure_read_only_workspace, call("vm.start", ref="one"), is_read_only_if_it_runs
    ),
    "clone": Verb(World.delete_others, create_networked, one_of(GONE, RUNS)),
    "clone with an entry point": Verb(
        ensure_entrypoint_image, create_with_entrypoint, has_one_entrypoint_if_it_runs
    ),
    "run --rm": Verb(World.delete_others, run_and_leave, one_of(GONE)),
    "stop": Verb(ensure_unsaved_data, call("vm.stop", ref="one"), has_all_data(ENDED, RUNS)),
    "restart": Verb(ensure_unsaved_data, call("vm.restart", ref="one"), has_all_data(RUNS)),
    "restart of a VM whose client leaves": Verb(
        ensure_client_that_may_leave, call("vm.restart", ref="one"), one_of(GONE)
    ),
    "set": Verb(
        ensure_created,
        call("vm.set", ref="one", name="two", vcpu=2, labels={"a": "b"}),
        is_wholly_changed_or_not,
    ),
    "kill": Verb(ensure_running, call("vm.kill", ref="one"), one_of(ENDED, RUNS)),
    "delete": Verb(ensure_running, call("vm.delete", ref="one"), one_of(GONE, RUNS)),
    "prune": Verb(ensure_created, call("vm.prune", dry_run=False), one_of(GONE, CREATED)),
    "pause": Verb(ensure_running, call("vm.pause", ref="one"), one_of(RUNS, PAUSED)),
    "resume": Verb(ensure_paused, call("vm.resume", ref="one"), one_of(RUNS, PAUSED)),
    "snapshot": Verb(
        ensure_no_snapshot, call("snapshot.create", ref="one", name="first"), one_of(RUNS)
    ),
    "snapshot of a paused VM": Verb(
        ensure_paused_without_snapshot,
        call("snapshot.create", ref="one", name="first"),
        one_of(PAUSED),
    ),
    "restore": Verb(
        ensure_snapshot, call("snapshot.restore", ref="one", name="first"), is_of_one_moment
    ),
    "fork": Verb(
        ensure_unforked,
        call("vm.fork", ref="one", name="copy", number=2),
        one_of(RUNS, *({**RUNS, **forks} for forks in FORKS)),
    ),
    "template build": Verb(
        ensure_no_template, call("template.build", **{**SHAPE, "memory_mib": 128}), one_of(GONE)
    ),
    "claim": Verb(ensure_waiting, create_networked, one_of(GONE, RUNS), pool=1),
    "fill": Verb(ensure_waiting, claim_and_let_fill, one_of(GONE, RUNS), pool=1),
    "drain": Verb(ensure_waiting, World.stop_daemon, one_of(GONE), pool=1),
}
"""Once the next daemon has settled no clone waits: `require_sound` has that."""
