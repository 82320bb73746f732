"""How many clones may wait to be claimed, and for what. The clones are in tests/vm/test_pool.py."""

from __future__ import annotations

import pytest

from banger.engine.state.demand import Demand
from banger.engine.upkeep.refilling import has_room, is_short
from banger.model.names import VmId
from banger.model.vm import Pooled, Role, TemplateBuild, User, VmRecord, VmState, is_hidden
from banger.setting import HostSize
from banger.settings import OPTIONS
from tests.support.specs import make_spec

TOTAL_MIB = 8000


@pytest.mark.parametrize(("memory_mib", "size"), [(2048, 0), (3900, 0), (4000, 1), (64000, 1)])
def test_a_small_host_prepares_none(memory_mib: int, size: int) -> None:
    (option,) = (option for option in OPTIONS if option.key == "template.pool")
    assert option.default(HostSize(cores=2, memory_mib=memory_mib))[0] == size


def test_what_lets_one_be_made_does_not_end_it_at_once() -> None:
    """Between the two limits nothing happens: the pool does not swing."""
    assert has_room(2000, TOTAL_MIB) and not has_room(1999, TOTAL_MIB)
    assert is_short(999, TOTAL_MIB) and not is_short(1000, TOTAL_MIB)


def test_the_last_shape_that_was_asked_for_comes_first() -> None:
    demand = Demand()
    for origin in ("templates/a", "templates/b", "templates/a"):
        demand.note(origin, make_spec(), at=1.0)
    assert list(demand.shapes) == ["templates/b", "templates/a"]
    assert demand.changed.is_set()
    demand.forget("templates/a")
    demand.forget("templates/a")
    assert list(demand.shapes) == list(demand.asked_at) == ["templates/b"]


@pytest.mark.parametrize("role", [TemplateBuild("k"), Pooled("calm-otter"), User()])
def test_what_is_the_engines_own_is_hidden(role: Role) -> None:
    vm_id = VmId("0123456789ab")
    record = VmRecord(id=vm_id, spec=make_spec(), state=VmState.PAUSED, created_at=0.0, role=role)
    assert is_hidden(record) == (role != User())
