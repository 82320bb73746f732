"""The engine of a daemon whose VM, of the tests' own, has a network and a secret to come."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from banger import store
from banger.config import load_settings
from banger.engine import Engine, open_engine
from banger.host.files import ensure_private_dir
from banger.layout import layout_from_environment
from banger.model.egress import Egress
from banger.model.names import VmId
from banger.model.secrets import HeldSecrets
from banger.model.vm import VmRecord, VmState
from banger.network.user.process import UserNetworkHandle
from tests.support.specs import make_spec

VM = VmId("0123456789ab")


@contextlib.asynccontextmanager
async def open_with_vm(
    directory: Path, handle: UserNetworkHandle, egress: Egress, held: HeldSecrets, *, seed: bytes
) -> AsyncIterator[Engine]:
    """An engine that has a running VM with this network, whose authority is made of the seed."""
    layout = layout_from_environment({"HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)})
    (ensure_private_dir(layout.secrets) / "seed").write_bytes(seed)
    settings = load_settings(layout.config_file, {})
    spec = msgspec.structs.replace(make_spec(network="user"), egress=egress, secrets=held)
    record = VmRecord(id=VM, spec=spec, state=VmState.RUNNING, created_at=1.0)
    async with open_engine(layout, lambda: settings) as engine:
        await engine.database.write(store.insert_vm, record)
        payload = msgspec.json.encode(handle)
        await engine.database.write(store.save_handle, VM, "network", payload)
        yield engine
