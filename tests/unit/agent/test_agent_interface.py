"""The agent gives its machine's network interface addresses, in a network namespace."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from tests.unit.agent.conftest import Agent, checked_agent
from tests.unit.agent.wire import IDENTITY, fields

CARD = "card"
SETTINGS = f"/proc/sys/net/ipv6/conf/{CARD}"
WORLD = f"""
PATH=$PATH:/usr/sbin:/sbin
ip link add other type veth peer name {CARD} && ip link set other up && test -d {SETTINGS} &&
exec "$@"
"""
SPACES = ("unshare", "--user", "--map-root-user", "--net", "sh", "-c", WORLD, "sh")
FIRST, SECOND = "fd62:616e:6765:7200::a4d:105", "fd62:616e:6765:7200::a4d:106"
FOREVER_AT_ONCE = 0x80 | 0x02
"""Permanent, and not searched for: neither tentative nor temporary (linux/if_addr.h)."""


@pytest.fixture
def agent(agent_binary: Path) -> Iterator[Agent]:
    """An agent whose machine has one network card, which is down."""
    if subprocess.run([*SPACES, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this host has no network namespaces for users, or no IPv6")
    with checked_agent(agent_binary, SPACES) as running:
        yield running


def identify(agent: Agent, address6: str | None) -> None:
    given = [("ADDRESS6", address6)] if address6 else []
    interface = fields(("ADDRESS", "10.77.1.5"), ("PREFIX", 16), *given)
    assert agent.host.call(IDENTITY, ("INTERFACE", interface)).result == {}


def run_within(agent: Agent, script: str) -> str:
    enter = ["nsenter", f"--target={agent.process.pid}", "--user", "--net"]
    command = [*enter, "--preserve-credentials", "sh", "-ec", script]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def card_addresses(agent: Agent) -> list[tuple[str, int]]:
    """Return the IPv6 addresses of the machine's card, with their flags."""
    rows = [line.split() for line in run_within(agent, "cat /proc/net/if_inet6").splitlines()]
    return [(str(IPv6Address(int(row[0], 16))), int(row[4], 16)) for row in rows if row[5] == CARD]


def test_a_machine_has_the_ipv6_address_of_its_last_identity_alone(agent: Agent) -> None:
    """D1, C6: neither its template's, nor one that it makes itself; at once."""
    for address in (FIRST, FIRST, SECOND):
        identify(agent, address)
        assert card_addresses(agent) == [(address, FOREVER_AT_ONCE)]
    assert run_within(agent, f"cat {SETTINGS}/accept_ra") == "0\n"
    identify(agent, None)
    assert card_addresses(agent) == []
    identify(agent, FIRST)
    assert card_addresses(agent) == [(FIRST, FOREVER_AT_ONCE)]


def test_a_guest_that_has_turned_ipv6_off_stays_without(agent: Agent) -> None:
    identify(agent, FIRST)
    run_within(agent, f"echo 1 >{SETTINGS}/disable_ipv6")
    identify(agent, SECOND)
    assert card_addresses(agent) == []
