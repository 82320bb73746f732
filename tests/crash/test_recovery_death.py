"""kill -9 of the daemon that recovers from a kill -9: what it has not done is left to the next one.

With VMs of each driver. Also behind the open door, where a stop is completed and a restart is. One
death of each verb, the next one in the next sample; BANGER_TEST_CRASH=all: all of them.
"""

from __future__ import annotations

import pytest

from tests.crash.points import SCENARIOS, Death
from tests.crash.verbs import VERBS
from tests.support.firecracker.program import NAME
from tests.support.sampling import choose
from tests.support.stand_in import folder_of
from tests.support.worlds import World

SECOND: dict[str, tuple[Death, list[Death]]] = {
    "prune": (
        # Its directory is gone, and that is not written down yet.
        Death("vm.delete 3 remove-vm-dir done", "before"),
        [Death(point, "before") for point in SCENARIOS["qemu"]["prune"].points],
    ),
    "stop": (
        Death("vm.stop 0 flush-guest started", "after"),
        [Death("vm.stop 0 flush-guest done", "before"), Death("vm.stop end", "before")],
    ),
    "restart": (
        Death("vm.restart 0 flush-guest started", "after"),
        [
            Death("vm.restart 1 shut-down-guest started", "after"),
            Death("save vmm handle", "before"),
            Death("vm.restart end", "before"),
        ],
    ),
    "claim": (
        Death("vm.claim end", "before"),
        [Death("vm.delete begin", "after"), Death("vm.delete 0 end-vmm done", "before")],
    ),
}
"""For each verb: where it dies first, and where the daemon after that one dies."""

LITTERS = """\
import itertools, os, pathlib, threading
def litter():
    try:
        for number in itertools.count():
            pathlib.Path(f"litter-{{number}}").touch()
    except OSError:
        pass  # the directory is gone
if os.path.exists({!r}):
    threading.Thread(target=litter, daemon=True).start()
"""
"""While a file is there: makes files in the working directory, which is the VM's, until it goes."""


@pytest.mark.parametrize("world", ["firecracker"], indirect=True, scope="module")
@pytest.mark.parametrize("name", ["clone", "start", "restore"])
def test_a_vmm_without_a_handle_is_ended_if_it_is_in_the_way(world: World, name: str) -> None:
    """B4: the daemon dies before it saves who the VMM is, which goes on to use its directory."""
    verb = VERBS[name]
    world.use_pool(verb.pool)
    program = folder_of(world.banger.layout) / NAME
    text, begins = program.read_text(), program.with_name("litters")
    program.write_text(text.replace("run([", f"{LITTERS.format(str(begins))}run(["))
    try:
        verb.prepare(world)
        verb.act(world)  # makes the template, which depends on the program
        verb.prepare(world)
        begins.touch()
        assert world.die("before", "save vmm handle", lambda: verb.act(world))
        world.open_daemon()
        world.settle()
    finally:
        begins.unlink(missing_ok=True)
        program.write_text(text)
    verb.check(world)
    world.require_unharmed("witness")
    world.delete_others()


@pytest.mark.parametrize("name", SECOND)
def test_death_during_recovery(world: World, name: str) -> None:
    """A1, B5: as after one death."""
    verb, (first, seconds) = VERBS[name], SECOND[name]
    world.use_pool(verb.pool)
    for second in choose(seconds, 1):
        verb.prepare(world)
        assert world.die(first.side, first.point, lambda: verb.act(world)), first
        assert world.die_recovering(second.side, second.point), second
        world.open_daemon()
        world.settle()
        verb.check(world)
        world.require_unharmed("witness")
    world.delete_others()
