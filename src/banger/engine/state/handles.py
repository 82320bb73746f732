"""The rows of a VM's handles, parsed: a damaged one counts as lost (B9)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TypeVar

import msgspec

from banger.errors import HostNotReady
from banger.network.port import NetworkHandle
from banger.network.table import decode_handle

log = logging.getLogger(__name__)


H = TypeVar("H")


def parse_handle(untrusted_payload: bytes | None, kind: type[H]) -> H | None:
    """Return a saved handle; None if there is none, or its row is damaged (B9)."""
    return _parse(untrusted_payload, functools.partial(msgspec.json.decode, type=kind))


def parse_network(untrusted_payload: bytes | None) -> NetworkHandle | None:
    """Return the handle of a network, as `parse_handle`."""
    return _parse(untrusted_payload, decode_handle)


def _parse(untrusted_payload: bytes | None, decode: Callable[[bytes], H]) -> H | None:
    if untrusted_payload is None:
        return None
    try:
        return decode(untrusted_payload)
    except (msgspec.DecodeError, HostNotReady):
        log.error("a damaged handle is ignored: %r", untrusted_payload[:200])
        return None
