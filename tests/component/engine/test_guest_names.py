"""The addresses that guests are told of each other."""

from __future__ import annotations

import pytest

from banger.engine.state.runtime import VmRuntime
from banger.engine.upkeep.nameservers import list_addresses
from banger.guest import GuestConnection
from banger.guest.codec import Feature
from banger.guest.fields import Tag, encode_fields, u64
from banger.model.names import VmId
from banger.network.bridge.kind import NETWORK
from tests.component.guest.scripted import HELLO_FIELDS, Agent, hello, play

INTERFACE = NETWORK.plan_interface(VmId("0123456789ab"), 4)
IPV4, IPV6 = "10.77.1.5", "fd62:616e:6765:7200::a4d:105"


@pytest.mark.parametrize(
    ("features", "told"),
    [(Feature.SESSIONS, (IPV4,)), (Feature.SESSIONS | Feature.ADDRESS6, (IPV4, IPV6))],
)
def test_an_ipv6_address_is_told_of_a_guest_that_takes_it(
    features: Feature, told: tuple[str, ...]
) -> None:
    """B11: not of one that an older banger started, whose agent does not."""

    async def script(agent: Agent) -> None:
        fields = encode_fields([(Tag.STREAMS, u64(64)), (Tag.FEATURES, u64(features))])
        agent.say(hello(await agent.hear_hello(), version=2, fields=HELLO_FIELDS + fields))

    async def body(connection: GuestConnection) -> None:
        assert list_addresses(INTERFACE, VmRuntime(connection=connection)) == told

    play(script, body)
    assert list_addresses(INTERFACE, VmRuntime()) == list_addresses(INTERFACE, None) == (IPV4,)
