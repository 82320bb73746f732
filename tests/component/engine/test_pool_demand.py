"""What the next clone that waits is made of: real rows, real files, no VM."""

from __future__ import annotations

import asyncio

from banger import store, templates
from banger.config import load_settings
from banger.engine import Engine, open_engine
from banger.engine.upkeep.refilling import TOTAL, choose_origin
from banger.layout import layout_from_environment
from banger.model.names import VmId
from banger.model.vm import Pooled, VmRecord, VmState
from tests.support.specs import make_spec

KEYS = ("a" * 64, "b" * 64)
PLENTY_MIB = 10**7


def origin(key: str) -> str:
    return f"templates/{key}"


async def wait_in_row(engine: Engine, key: str, number: int) -> None:
    """Have a clone wait, as far as the records go."""
    vm_id = VmId(f"{KEYS.index(key)}{number:011x}")
    record = VmRecord(
        id=vm_id,
        spec=make_spec(f"pool/{vm_id}"),
        state=VmState.PAUSED,
        created_at=1.0,
        origin=origin(key),
        role=Pooled("calm-otter"),
    )
    await engine.database.write(store.insert_vm, record)


def test_what_is_prepared_next(private_environ: dict[str, str]) -> None:
    """Used before, room for its memory, not too many: of these the last that was asked for."""
    layout = layout_from_environment(private_environ)
    settings = load_settings(layout.config_file, {"BANGER_TEMPLATE_POOL": "3"})

    async def look() -> None:
        async with open_engine(layout, lambda: settings) as engine:
            engine.available_mib = lambda: PLENTY_MIB
            for key in KEYS:
                layout.template_dir(key).mkdir(parents=True)
                # Not by `note`, which wakes who would make them.
                engine.demand.shapes[origin(key)] = make_spec()
            assert await choose_origin(engine) is None, "nobody has asked a second time"
            templates.mark_used(layout, KEYS[0])
            assert await choose_origin(engine) == origin(KEYS[0])
            templates.mark_used(layout, KEYS[1])
            assert await choose_origin(engine) == origin(KEYS[1])
            for number in range(3):
                await wait_in_row(engine, KEYS[1], number)
            assert await choose_origin(engine) == origin(KEYS[0]), "the other has its three"
            engine.available_mib = lambda: 512
            assert await choose_origin(engine) is None, "its guest might need all there is"
            engine.available_mib = lambda: PLENTY_MIB
            await wait_in_row(engine, KEYS[0], 0)
            assert TOTAL == 4 and await choose_origin(engine) is None

    asyncio.run(look())
