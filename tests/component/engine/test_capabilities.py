"""What a driver or a network cannot do is refused when it is asked for, and changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from banger import store, words
from banger.api.egress import EgressChange
from banger.api.requests import VmCreate, VmFork, VmSet
from banger.api.snapshots import SnapshotCreate, SnapshotRestore
from banger.engine import Engine
from banger.engine.state.operations import Operation
from banger.engine.verbs.egress import change_egress
from banger.engine.verbs.fork import fork_vm
from banger.engine.verbs.resolve import plan_vm
from banger.engine.verbs.set import set_vm
from banger.engine.verbs.snapshots import create_snapshot, restore_snapshot
from banger.engine.verbs.vms import pause_vm
from banger.errors import BangerError, NotSupported
from banger.layout import Layout
from banger.model.egress import Egress, Profile
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


POLICIES = {
    "a profile by name": Egress(profile=Profile.ALLOWLIST),
    "a port of the host": Egress(rules=("allow host:5432",)),
}
ASKED: dict[str, Callable[[Engine, Egress], Awaitable[object]]] = {
    "create": lambda engine, egress: plan_vm(
        engine,
        engine.new_operation("vm.plan"),
        VmCreate(network="bridge", egress=egress.profile.value, egress_rules=list(egress.rules)),
    ),
    "set": lambda engine, _: set_vm(
        engine, engine.new_operation("vm.set"), VmSet(ref=NAME, network="bridge")
    ),
    "change": lambda engine, egress: change_egress(
        engine,
        engine.new_operation("egress.change"),
        EgressChange(ref=NAME, rules=list(egress.rules), profile=egress.profile.value),
    ),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("verb", ASKED)
def test_a_network_is_given_no_policy_that_it_cannot_hold(
    layout: Layout, verb: str, policy: str
) -> None:
    """C7, I6: refused when it is asked for, not at the next start."""

    async def ask(engine: Engine) -> None:
        vm = record(VmState.STOPPED)
        network = "bridge" if verb == "change" else "user"
        spec = msgspec.structs.replace(
            vm.spec,
            shape=msgspec.structs.replace(vm.spec.shape, network=network),
            egress=POLICIES[policy] if verb == "set" else Egress(),
        )
        await insert(engine, msgspec.structs.replace(vm, spec=spec))
        with pytest.raises(NotSupported, match="The network bridge") as caught:
            await ASKED[verb](engine, POLICIES[policy])
        assert caught.value.hint == "--network user"
        assert [vm.spec for vm in await engine.database.read(store.load_vms)] == [spec]

    with_engine(layout, ask)
