"""What the bridge's helper is asked, and the rules that it makes of it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.network.bridge.addresses import Port, address6, parse_network, parse_port
from banger.network.bridge.firewalls import Firewall
from banger.network.bridge.nft import render_rules
from banger.network.bridge.wire import (
    PORTLESS,
    Refusal,
    Verb,
    find_refusal,
    parse_description,
    parse_firewall,
    parse_request,
    render_description,
    render_refusal,
    render_request,
)
from tests.support.golden import check_golden

NETWORK = IPv4Network("10.77.0.0/16")
GOLDEN = Path(__file__).with_name("golden") / "bridge.nft"
PORT = Port("02:00:00:00:00:0a", IPv4Address("10.77.0.2"))


@given(st.binary(max_size=80))
def test_what_is_taken_for_a_request_is_one(untrusted_message: bytes) -> None:
    """G5: another form of the same request does not exist."""
    try:
        verb, port = parse_request(untrusted_message, NETWORK)
    except ValueError:
        return
    assert render_request(verb, port) == untrusted_message


@given(st.binary(min_size=5, max_size=5), st.integers(2, 65534), st.sampled_from(Verb))
def test_requests_arrive_as_they_were_sent(tail: bytes, number: int, verb: Verb) -> None:
    port = None if verb in PORTLESS else Port((b"\2" + tail).hex(":"), NETWORK[number])
    assert parse_request(render_request(verb, port), NETWORK) == (verb, port)
    assert port is None or parse_port(port.format()) == port


@given(st.binary(max_size=20))
def test_an_answer_is_a_description_or_none(untrusted_answer: bytes) -> None:
    try:
        found = parse_description(untrusted_answer)
    except ValueError:
        return
    assert render_description(found.network)[3:] == untrusted_answer[3:]


@pytest.mark.parametrize("answer", [b"", b"+", b"d", b"+x", b"+dd", b"-d"])
def test_an_answer_about_firewalls_is_one_or_none(answer: bytes) -> None:
    assert parse_firewall(b"+d") is Firewall.DOCKER
    with pytest.raises(ValueError):
        parse_firewall(answer)


def test_a_refusal_says_why() -> None:
    assert [find_refusal(render_refusal(why)) for why in Refusal] == list(Refusal)
    assert find_refusal(b"+") is None


def test_no_two_addresses_of_a_network_have_one_port() -> None:
    """C6."""
    assert len({Port(PORT.mac, address).name for address in NETWORK}) == NETWORK.num_addresses


def test_the_ipv6_address_of_a_machine_has_its_other_in_it() -> None:
    """C6: so that no two have the same."""
    assert str(address6(IPv4Address("10.77.1.5"))) == "fd62:616e:6765:7200::a4d:105"


@pytest.mark.parametrize("text", ["8.8.8.0/24", "10.0.0.0/8", "10.77.0.0/30", "10.77.0.1/16", "x"])
def test_a_network_is_private_and_of_a_size_that_ports_can_have(text: str) -> None:
    with pytest.raises(ValueError):
        parse_network(text)


def test_the_rules_are_those_that_were_read() -> None:
    rules = [
        render_rules(NETWORK, ports, has_ipv6=has_ipv6)
        for ports, has_ipv6 in (([PORT], True), ([], False))
    ]
    check_golden(GOLDEN, "# with a port\n{}# with none, without IPv6\n{}".format(*rules))
