"""Secrets: `secret.*`, and the placeholders of a new VM.

A change is one file, then each running VM that has the secret is told, under its lifecycle lock
(L2). If the process dies between the two, the next daemon tells all VMs that it adopts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from banger import secrets, store
from banger.api.method import serves
from banger.api.results import Deleted
from banger.api.secrets import SecretSet, SecretView
from banger.engine.state.engine import Engine
from banger.engine.state.machine import load_machine
from banger.engine.state.operations import Operation
from banger.engine.steps.network import find_bound, send_secrets, set_egress
from banger.errors import BangerError, HostFailed, InvalidRequest, NotFound
from banger.model.names import VmId
from banger.model.secrets import (
    SECRETS_MAX,
    HeldSecrets,
    Secret,
    make_placeholder,
    parse_secret,
    parse_secret_name,
)
from banger.model.vm import LIVE, is_hidden

AUTHORITY_BYTES = 16


@serves("secret.set")
async def set_secret(engine: Engine, op: Operation, params: SecretSet) -> SecretView:
    """Save a secret, and have running VMs use it.

    Raises:
        InvalidRequest: the name, the value, a host or a header is not possible.
    """
    hosts, headers = params.hosts, params.headers
    parse_secret_name(params.name)
    if not hosts or not headers:
        known = await _find(engine, params.name)
        hosts = hosts or (list(known.hosts) if known else [])
        headers = headers or (list(known.headers) if known else [])
    secret = parse_secret(params.name, params.value, hosts, headers)
    await asyncio.to_thread(secrets.save_secret, engine.layout, secret)
    await _tell_vms(engine, op, secret.name)
    return _view(secret, await _users(engine))


@serves("secret.list")
async def list_secrets(engine: Engine) -> list[SecretView]:
    """Return the secrets by name."""
    users = await _users(engine)
    found = await asyncio.to_thread(secrets.list_secrets, engine.layout)
    return [_view(secret, users) for secret in found]


@serves("secret.delete")
async def delete_secret(engine: Engine, op: Operation, name: str) -> Deleted:
    """Delete a secret; running VMs do without at once.

    Raises:
        NotFound: there is none of this name.
    """
    await asyncio.to_thread(secrets.remove_secret, engine.layout, parse_secret_name(name))
    await _tell_vms(engine, op, name)
    return Deleted(ids=[name])


async def choose_secrets(engine: Engine, names: Sequence[str]) -> tuple[HeldSecrets, list[Secret]]:
    """Return what a new VM has of its secrets, and these.

    Raises:
        InvalidRequest: they are too many, or a name is none.
        NotFound: there is no such secret.
    """
    if len(names) > SECRETS_MAX:
        raise InvalidRequest(f"A VM has at most {SECRETS_MAX} secrets, not {len(names)}.")
    if not names:
        return HeldSecrets(), []
    wanted = sorted({parse_secret_name(name) for name in names})
    found = [await asyncio.to_thread(secrets.get_secret, engine.layout, name) for name in wanted]
    held = HeldSecrets(
        engine.random_bytes(AUTHORITY_BYTES).hex(),
        {each.name: make_placeholder(each.value, engine.random_bytes) for each in found},
    )
    return held, found


async def _find(engine: Engine, name: str) -> Secret | None:
    try:
        return await asyncio.to_thread(secrets.get_secret, engine.layout, name)
    except (NotFound, HostFailed):  # a damaged one is replaced
        return None


async def _users(engine: Engine) -> dict[str, list[tuple[VmId, str]]]:
    """Return the VMs that have a placeholder, by the secret."""
    users: dict[str, list[tuple[VmId, str]]] = {}
    for record in await engine.database.read(store.load_vms):
        if not is_hidden(record):
            for name in record.spec.secrets.placeholders:
                users.setdefault(name, []).append((record.id, record.spec.name))
    return users


def _view(secret: Secret, users: dict[str, list[tuple[VmId, str]]]) -> SecretView:
    return SecretView(
        name=secret.name,
        hosts=list(secret.hosts),
        headers=list(secret.headers),
        vms=sorted(name for _, name in users.get(secret.name, ())),
    )


async def _tell_vms(engine: Engine, op: Operation, name: str) -> None:
    for vm_id, vm_name in (await _users(engine)).get(name, ()):
        try:
            async with engine.runtime(vm_id).lifecycle.hold(op, wait=True):
                machine = await load_machine(engine, vm_id)
                if machine.record.state in LIVE:
                    bound = await find_bound(machine)
                    await set_egress(machine, bound)
                    await send_secrets(machine, bound)
        except BangerError as error:
            op.note("notice", f"{vm_name} did not get the change: {error.message}")
