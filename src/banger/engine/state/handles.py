"""The rows of a VM's handles, parsed: a damaged one counts as lost (B9)."""

from __future__ import annotations

import logging
from typing import TypeVar

import msgspec

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.lifetime import Lifetime
from banger.errors import HostNotReady
from banger.model.names import VmId
from banger.network.port import NetworkHandle
from banger.network.table import decode_handle
from banger.vmm.driver import VmmHandle

log = logging.getLogger(__name__)


H = TypeVar("H")


async def load_vmm_handle(engine: Engine, vm_id: VmId) -> VmmHandle | None:
    """Return the saved handle of a VM's VMM; a damaged one counts as none (B9)."""
    handles = await engine.database.read(store.load_handles, vm_id)
    payload = handles.get("vmm")
    return None if payload is None else parse_handle(payload, VmmHandle)


def parse_lifetime(untrusted_payload: bytes | None) -> Lifetime | None:
    """Return a VM's lifetime; None if there is none, or its row is damaged."""
    return None if untrusted_payload is None else parse_handle(untrusted_payload, Lifetime)


def parse_network(untrusted_payload: bytes) -> NetworkHandle | None:
    """Return the handle of a network, as `parse_handle`."""
    try:
        return decode_handle(untrusted_payload)
    except (msgspec.DecodeError, HostNotReady):
        log.error("a damaged handle is ignored: %r", untrusted_payload[:200])
        return None


def parse_handle(untrusted_payload: bytes, kind: type[H]) -> H | None:
    """Return a saved handle, or None if its row is damaged: it then counts as lost (B9)."""
    try:
        return msgspec.json.decode(untrusted_payload, type=kind)
    except msgspec.DecodeError:
        log.error("a damaged handle is ignored: %r", untrusted_payload[:200])
        return None
