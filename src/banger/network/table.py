"""The networks by their words, loaded on first use."""

from __future__ import annotations

import importlib

import msgspec
from msgspec import Struct

from banger.errors import HostNotReady
from banger.model.egress import Egress
from banger.network.egress.presets import list_rules
from banger.network.port import Network, NetworkHandle, Service
from banger.words import NETWORKS, NO_NETWORK


class _Kind(Struct):
    network: str = "user"
    """Handles of the first releases do not say it: there was one kind."""


def find_network(word: str) -> Network | None:
    """Return the network of this word; None: VMs of it have none.

    Raises:
        HostNotReady: the word is of another release.
    """
    if word == NO_NETWORK:
        return None
    if word not in NETWORKS:
        raise HostNotReady(
            f"This release of banger has no network {word!r}.", hint="pipx upgrade banger"
        )
    network: Network = importlib.import_module(f"{NETWORKS[word]}.kind").NETWORK
    return network


def find_service(word: str) -> Service:
    """Return what root installs for one of `SERVED_NETWORKS`."""
    network = find_network(word)
    assert network is not None and network.service is not None, word
    return network.service


def require_policy(word: str, egress: Egress) -> None:
    """Check that the network of this word can hold VMs to a policy.

    Raises:
        InvalidRequest: a rule is for a preset that there is not.
        NotSupported: it cannot.
        HostNotReady: the word is of another release.
    """
    list_rules(egress)
    network = find_network(word)
    if network is not None:
        network.require_policy(egress)


def decode_handle(untrusted_payload: bytes) -> NetworkHandle | None:
    """Return the handle of a network from its row.

    Raises:
        DecodeError: the row is damaged.
        HostNotReady: it is of another release.
    """
    kind = msgspec.json.decode(untrusted_payload, type=_Kind)
    network = find_network(kind.network)
    if network is None:
        return None
    return msgspec.json.decode(untrusted_payload, type=network.handle_type)
