"""What a driver cannot do is refused when it is asked for, and changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from banger import words
from banger.api.requests import VmFork
from banger.api.snapshots import SnapshotCreate, SnapshotRestore
from banger.engine import Engine
from banger.engine.state.operations import Operation
from banger.engine.verbs.fork import fork_vm
from banger.engine.verbs.snapshots import create_snapshot, restore_snapshot
from banger.engine.verbs.vms import pause_vm
from banger.errors import BangerError, NotSupported
from banger.layout import Layout
from banger.model.vm import VmState
from tests.component.engine.test_recovery import insert, layout, record, states, with_engine

__all__ = ["layout"]  # a fixture

NAME = record().spec.name
VERBS: dict[str, Callable[[Engine, Operation], Awaitable[object]]] = {
    "pause": lambda engine, op: pause_vm(engine, op, NAME),
    "snapshot": lambda engine, op: create_snapshot(engine, op, SnapshotCreate(ref=NAME)),
    "restore": lambda engine, op: restore_snapshot(
        engine, op, SnapshotRestore(ref=NAME, name="before")
    ),
    "fork": lambda engine, op: fork_vm(engine, op, VmFork(ref=NAME)),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("driver", ["plain", "qemu"])
def test_a_driver_is_asked_only_for_what_it_can_do(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, driver: str, verb: str
) -> None:
    """C7. With a driver that can, the verb goes on to fail of something else: no VMM runs here."""
    monkeypatch.setitem(words.DRIVERS, "plain", "tests.support.toys.plain")

    async def ask(engine: Engine) -> None:
        vm = record(VmState.RUNNING)
        spec = msgspec.structs.replace(vm.spec, driver=driver)
        await insert(engine, msgspec.structs.replace(vm, spec=spec))
        with pytest.raises(BangerError) as caught:
            await VERBS[verb](engine, engine.new_operation(verb))
        assert isinstance(caught.value, NotSupported) is (driver == "plain"), caught.value
        assert await states(engine) == [VmState.RUNNING]
        if driver == "plain":
            assert "driver plain cannot" in caught.value.message
            assert caught.value.hint == "banger vm create --driver qemu"

    with_engine(layout, ask)
