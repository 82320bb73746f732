"""Networks that an older banger started, which know a part of a policy only."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from msgspec import json
from msgspec.structs import replace

from banger import store
from banger.api.egress import EgressChange
from banger.api.secrets import SecretSet
from banger.engine import Engine
from banger.engine.verbs.egress import change_egress
from banger.engine.verbs.secrets import set_secret
from banger.errors import WrongState
from banger.host.identity import identify
from banger.layout import Layout
from banger.model.egress import Egress, Profile
from banger.model.secrets import HeldSecrets
from banger.model.vm import VmState
from banger.network.egress.control import control_socket
from banger.network.user.process import UserNetworkHandle
from banger.network.user.proxy.start import Proxy
from tests.component.engine.test_recovery import VM, insert, layout, record, with_engine

__all__ = ["layout"]  # a fixture

NAME = record().spec.name
PUBLIC, BY_NAME = Egress(), Egress(profile=Profile.ALLOWLIST)
WHOLE = {b"P": b"P", b"R": b"R", b"S": b"S"}
WITHOUT_BANDWIDTH, WITHOUT_PRESETS = WHOLE | {b"R": b"E"}, WHOLE | {b"P": b"E"}
"""What a filter and a proxy answer, by the letter that a message begins with."""


@contextlib.asynccontextmanager
async def answering(
    path: Path, answers: Mapping[bytes, bytes], accepted: list[bytes] | None = None
) -> AsyncIterator[str]:
    """Answer the messages of a socket for a block, and note those accepted; yields its path."""
    loop = asyncio.get_running_loop()
    taken = [] if accepted is None else accepted

    async def serve() -> None:
        while True:
            client, _ = await loop.sock_accept(listener)
            with client:
                kind = (await loop.sock_recv(client, 65536))[:1]
                taken.extend([kind] if answers[kind] == kind else [])
                await loop.sock_sendall(client, answers[kind])

    with control_socket(path) as listener:
        listener.setblocking(False)
        server = asyncio.create_task(serve())
        yield str(path)
        server.cancel()
        await asyncio.wait((server,))  # before its socket is closed


async def insert_running(
    engine: Engine,
    egress: Egress,
    control: str | None,
    proxy: str,
    held: HeldSecrets | None = None,
) -> None:
    """Have a VM whose network's filter and proxy are reached there."""
    process = identify(os.getpid())
    assert process is not None
    handle = UserNetworkHandle(
        egress_filter=process,
        backend=process,
        control=control,
        proxy=Proxy(process, proxy) if egress.is_by_name else None,
    )
    vm = record(VmState.RUNNING)
    shape = replace(vm.spec.shape, network="user")
    spec = replace(vm.spec, shape=shape, egress=egress, secrets=held or HeldSecrets())
    await insert(engine, replace(vm, spec=spec))
    await engine.database.write(store.save_handle, VM, "network", json.encode(handle))


@pytest.mark.parametrize(
    ("egress", "change", "has_socket"),
    [
        (PUBLIC, EgressChange(ref=NAME, rules=["deny 203.0.113.7"]), False),
        (PUBLIC, EgressChange(ref=NAME, bandwidth_mib=10), True),
        (BY_NAME, EgressChange(ref=NAME, rules=["allow @python"]), True),
    ],
    ids=["no socket", "no bandwidth", "no presets"],
)
def test_a_change_that_it_does_not_know_is_kept_for_the_next_start(
    layout: Layout, egress: Egress, change: EgressChange, has_socket: bool
) -> None:
    """B11, H6: the command that applies it is named."""

    async def ask(engine: Engine) -> None:
        sockets = layout.vm_egress_socket(VM).parent
        async with (
            answering(sockets / "filter", WITHOUT_BANDWIDTH) as control,
            answering(sockets / "proxy", WITHOUT_PRESETS) as proxy,
        ):
            await insert_running(engine, egress, control if has_socket else None, proxy)
            with pytest.raises(WrongState, match="saved for the next start") as caught:
                await change_egress(engine, engine.new_operation("egress.change"), change)
        assert caught.value.hint == f"banger vm restart {NAME}"
        (vm,) = await engine.database.read(store.load_vms)
        kept = (list(vm.spec.egress.rules), vm.spec.egress.bandwidth_mib)
        assert kept == (change.rules, change.bandwidth_mib or 0)

    with_engine(layout, ask)


@pytest.mark.parametrize(
    ("egress", "change", "accepted"),
    [
        (Egress(bandwidth_mib=10), EgressChange(ref=NAME, rules=["deny 203.0.113.7"]), [b"P"]),
        (
            Egress(profile=Profile.ALLOWLIST, rules=("allow @python",)),
            EgressChange(ref=NAME, bandwidth_mib=10),
            [b"R"],
        ),
    ],
    ids=["no bandwidth", "no presets"],
)
def test_a_change_that_it_knows_holds_whatever_was_kept_before(
    layout: Layout, egress: Egress, change: EgressChange, accepted: list[bytes]
) -> None:
    """B11: what an earlier command changed is no error of this one."""

    async def ask(engine: Engine) -> None:
        sockets, heard = layout.vm_egress_socket(VM).parent, list[bytes]()
        answers = WHOLE if egress.is_by_name else WITHOUT_BANDWIDTH
        async with (
            answering(sockets / "filter", answers, heard) as control,
            answering(sockets / "proxy", WITHOUT_PRESETS) as proxy,
        ):
            await insert_running(engine, egress, control, proxy)
            await change_egress(engine, engine.new_operation("egress.change"), change)
        assert heard == accepted

    with_engine(layout, ask)


def test_secrets_change_whatever_was_kept_before(layout: Layout) -> None:
    """B11: as above."""

    async def ask(engine: Engine) -> None:
        sockets, heard = layout.vm_egress_socket(VM).parent, list[bytes]()
        async with (
            answering(sockets / "filter", WITHOUT_BANDWIDTH) as control,
            answering(sockets / "proxy", WHOLE, heard) as proxy,
        ):
            egress = Egress(profile=Profile.ALLOWLIST, bandwidth_mib=10)
            held = HeldSecrets("authority", {"TOKEN": "placeholder"})
            await insert_running(engine, egress, control, proxy, held)
            secret = SecretSet(name="TOKEN", value="value", hosts=["api.example.org"])
            await set_secret(engine, engine.new_operation("secret.set"), secret)
        assert heard == [b"P", b"S"]

    with_engine(layout, ask)
