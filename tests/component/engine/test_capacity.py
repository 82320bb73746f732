"""Memory that the host does not have is not given to guests."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Coroutine, Iterator

import msgspec
import pytest

from banger import store
from banger.config import load_settings
from banger.engine import Engine, open_engine
from banger.engine.transitions.capacity import promised_memory, require_room
from banger.errors import NotEnoughMemory
from banger.host.identity import ProcessIdentity, identify
from banger.host.memory import read_available_mib, read_taken_mib
from banger.layout import layout_from_environment
from banger.model.vm import VmState
from banger.sizes import format_size
from tests.component.engine.test_recovery import handle, insert, record

STRICT = {"BANGER_MEMORY_OVERCOMMIT": "1"}


@pytest.fixture
def with_engine(
    private_environ: dict[str, str],
) -> Callable[[Callable[[Engine], Coroutine[object, object, None]]], None]:
    """Run something with an engine on a host that has 1000 MiB."""
    layout = layout_from_environment(private_environ)

    def with_engine(work: Callable[[Engine], Coroutine[object, object, None]]) -> None:
        async def run() -> None:
            async with open_engine(
                layout, lambda: load_settings(layout.config_file, STRICT)
            ) as engine:
                engine.available_mib = lambda: 1000
                await work(engine)

        asyncio.run(run())

    return with_engine


@pytest.mark.parametrize(
    ("each", "number", "spoken_for", "overcommit", "fits"),
    [
        (1000, 1, 0, 1, True),
        (1001, 1, 0, 1, False),
        (500, 1, 501, 1, False),
        (750, 2, 500, 2, True),
        (750, 2, 501, 2, False),
        (1001, 1, 0, 2, False),
    ],
)
def test_what_fits(each: int, number: int, spoken_for: int, overcommit: int, fits: bool) -> None:
    numbers = {"available_mib": 1000, "spoken_for_mib": spoken_for, "overcommit": overcommit}
    if fits:
        require_room(each, number=number, **numbers)
    else:
        with pytest.raises(NotEnoughMemory, match=f"{format_size(each * number)} .* has 1000 MiB"):
            require_room(each, number=number, **numbers)


def test_what_is_promised_is_not_given_twice(with_engine: Callable[..., None]) -> None:
    """C6: two that ask at once, and each alone would fit."""

    async def work(engine: Engine) -> None:
        first, second = (engine.new_operation("vm.create") for _ in range(2))
        async with promised_memory(engine, first, 600, force=False):
            with pytest.raises(NotEnoughMemory, match="other VMs may take 600 MiB"):
                async with promised_memory(engine, second, 600, force=False):
                    pass
            async with promised_memory(engine, second, 600, force=True):
                pass
        async with promised_memory(engine, second, 600, force=False):
            pass

    with_engine(work)


@pytest.fixture
def taker() -> Iterator[ProcessIdentity]:
    """A process that has taken 200 MiB."""
    program = "x = b'x' * (200 << 20); print(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen(["python3", "-c", program], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        identity = identify(process.pid)
        assert identity is not None
        yield identity
        process.kill()
    assert read_taken_mib(identity) == 0


def test_a_vm_counts_with_what_it_has_not_taken_yet(
    with_engine: Callable[..., None], taker: ProcessIdentity
) -> None:
    async def work(engine: Engine) -> None:
        assert 200 <= read_taken_mib(taker) < 300
        await insert(engine, record(VmState.RUNNING))
        row = msgspec.json.encode(handle(taker))
        await engine.database.write(store.save_handle, record().id, "vmm", row)
        op = engine.new_operation("vm.create")
        # It is a VM of 512 MiB: about 300 are left to it.
        async with promised_memory(engine, op, 600, force=False):
            pass
        with pytest.raises(NotEnoughMemory):
            async with promised_memory(engine, op, 900, force=False):
                pass
        # Put in its own place it gives back what it has.
        async with promised_memory(engine, op, 1150, instead_of=record().id, force=False):
            pass
        with pytest.raises(NotEnoughMemory, match=r"1\.367 GiB of memory is needed"):
            async with promised_memory(engine, op, 1400, instead_of=record().id, force=False):
                pass

    with_engine(work)


def test_the_hosts_own_number() -> None:
    assert 0 < read_available_mib() < 2**32
