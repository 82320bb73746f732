"""E4, I8: what a guest reaches where its policy is by name, in namespaces of the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.component.network.attempts import HOSTS, INTERFACE, METADATA, ONE, PRIVATE, TWO
from tests.component.network.by_name import MANY
from tests.component.network.test_user_network import run_in_namespace
from tests.support.environs import make_short_dir

SCRIPT = Path(__file__).with_name("by_name.py")
NO_SUCH_NAME = [3, []]
CLOSED = ("ConnectionResetError", "ConnectionRefusedError", "BrokenPipeError", "ended", "")
"""Nothing came back, except what a server says first."""
REFUSED = (
    *("fronting", "fronting in pieces", "no server name", "not tls", "fronting at 22"),
    *(
        "http fronting at 22",
        "wild at 22",
        "one at 8443",
        "one at 25",
        "literal",
        "literal of no name",
    ),
    *("host's other port", "host's resolver", "private", "metadata", "loopback", "unspecified"),
    *("hosts", "alias", "gone", "two, denied", "private literal", "metadata literal"),
    *("nameserver by tcp", "dns over tls"),
)
DATAGRAMS = (
    *("nameserver by udp", "dns over quic", "quic", "quic to a literal", "udp to the host"),
)


REFUSED_REQUESTS = (
    *("http fronting", "http fronting, absolute", "http to a proxy", "not http"),
    "http/2 in the clear",
)


@pytest.fixture(scope="module")
def found(run_dir: Path) -> dict[str, Any]:
    """What each attempt came to; see `by_name.py`."""
    said = run_in_namespace(str(SCRIPT), str(make_short_dir(run_dir)), deadline_s=110)
    result: dict[str, Any] = json.loads(said.splitlines()[-1])
    return result


def test_a_name_that_is_allowed_has_one_synthetic_address(found: dict[str, Any]) -> None:
    """E4: whatever its case, by UDP and TCP; of no other type is there anything."""
    code, (address,) = found["ask one"]
    assert code == 0
    assert address.startswith(("198.18.", "198.19."))
    assert found["ask one by tcp"] == found["ask ONE."] == found["ask one"]
    assert found["ask a.wild"][1] != found["ask one"][1]
    assert len(found["ask idn"][1]) == 1
    assert [found[f"ask {kind}"] for kind in ("AAAA", "HTTPS", "TXT")] == [[0, []]] * 3


def test_nothing_is_looked_up_of_a_name_that_is_not_allowed(found: dict[str, Any]) -> None:
    """E4: a query carries nothing out, and one that is allowed is asked when it is connected to."""
    refused = ("two", "sub", "tunnel", "wild", "xwild", "no.wild", "local")
    assert {each: found[f"ask {each}"] for each in refused} == dict.fromkeys(refused, NO_SUCH_NAME)
    allowed = "one a.wild private metadata loopback unspecified hosts mixed alias gone two"
    assert set(found["asked"]) == {
        {"a.wild": "a.wild.example"}.get(each, f"{each}.example") for each in allowed.split()
    }
    assert found["asked"].index("two.example") > found["asked"].index("gone.example")


def test_what_is_allowed_is_reached_by_name(found: dict[str, Any]) -> None:
    """E4: TLS in one piece or many, a server that speaks first, a literal, a port of the host.

    The host's nameserver is another one than when the network was started.
    """
    for label in ("tls", "tls in pieces", "tls wild"):
        assert found[label].startswith(f"{ONE} \x16\x03\x01")
    assert found["tls in pieces"] == found["tls"]
    assert found["ssh"] == f"{ONE} plain"
    assert found["literal allowed"] == found["literal at 53"] == f"{TWO} plain"
    assert found["one at 53"] == f"{ONE} plain"
    assert found["host"] == found["host at 53"] == "127.0.0.1 plain"
    assert found["mixed"].startswith(f"{TWO} \x16")


def test_one_request_goes_to_the_server_that_it_names(found: dict[str, Any]) -> None:
    """E4: written anew; what comes after it goes nowhere, and no upgrade is asked for."""
    for label in ("http", "http in pieces", "http, absolute", "http, two requests"):
        request = found[label].removeprefix(f"{ONE} ")
        assert request.lower().count("host: one.example") == request.count("\r\n\r\n") == 1
        assert request.endswith("connection: close\r\n\r\n")
        assert "two.example" not in request
        assert "h2c" not in request


def test_without_its_proxy_nothing_leaves_a_vm(found: dict[str, Any]) -> None:
    """I7: neither to a name nor to an address, whatever the filter lets pass."""
    assert found["other literal allowed"] == "203.0.113.99 plain"
    assert {found["dead proxy, name"], found["dead proxy, literal"]} <= set(CLOSED)


@pytest.mark.parametrize("attempt", REFUSED_REQUESTS)
def test_a_request_that_is_refused_is_told_why(found: dict[str, Any], attempt: str) -> None:
    """E4, I6."""
    assert found[attempt].startswith("HTTP/1.1 403 Forbidden")
    assert "egress policy" in found[attempt]


@pytest.mark.parametrize("attempt", REFUSED)
def test_an_escape_is_refused(found: dict[str, Any], attempt: str) -> None:
    """E4, I8: names of private addresses, other server names, literals, ports and services."""
    assert found[attempt].removeprefix(f"{ONE} ") in CLOSED


@pytest.mark.parametrize("attempt", DATAGRAMS)
def test_no_datagram_leaves_but_queries(found: dict[str, Any], attempt: str) -> None:
    """E4, I8: QUIC, DNS elsewhere; refused at once (I6), so that a client falls back to TCP."""
    assert found[attempt] == "EHOSTUNREACH"


@pytest.mark.parametrize("to", ["one.example", ONE, INTERFACE.gateway])
def test_no_echo_request_leaves(found: dict[str, Any], to: str) -> None:
    """E4: no tunnel by ICMP; "administratively prohibited"."""
    assert found[f"ping {to}"] == "3 13"


def test_connections_that_are_no_longer_allowed_end(found: dict[str, Any]) -> None:
    """I6: by name, and by the address that a name has, also if it is not connected yet."""
    assert found["open, denied"] in CLOSED
    assert found["open, allowed"] == "more"
    assert found["two at 22"] == f"{TWO} plain"
    assert {found["open, denied then"], found["silent, denied then"]} <= set(CLOSED)


def test_of_many_connections_those_end_that_are_no_longer_allowed(found: dict[str, Any]) -> None:
    """I6: of 200 by name, all at one port, and none at another."""
    assert len(found["many, denied"]) == MANY
    assert set(found["many, denied"]) <= set(CLOSED)
    assert found["many, allowed"] == ["more"] * MANY


def test_each_refusal_is_listed_with_what_would_allow_it(found: dict[str, Any]) -> None:
    """I6: as a rule takes it; where no rule would help, why."""
    denials = {tuple(each) for each in found["denials"]}
    assert denials >= {
        ("two.example", True, ""),
        ("one.example:8443/tcp", True, ""),
        ("a.wild.example:22/tcp", True, ""),
        (f"{ONE}:443/tcp", True, ""),
        ("host:22/tcp", True, ""),
        ("one.example:443/tcp", False, "TLS for two.example"),
        ("one.example:443/tcp", False, "TLS without a server name"),
        ("one.example:443/tcp", False, "not TLS"),
        ("one.example:80/tcp", False, "HTTP for two.example"),
        ("one.example:22/tcp", False, "HTTP for two.example"),
        ("one.example:22/tcp", False, "TLS for two.example"),
        ("198.18.77.77:443/tcp", False, "the address stands for no name"),
        (f"{PRIVATE}:443/tcp", True, "alias.example has this address"),
        (f"{METADATA}:443/tcp", True, "metadata.example has this address"),
        (f"{HOSTS}:443/tcp", True, "hosts.example has this address"),
        (f"{TWO}:22/tcp", True, "two.example has this address"),
    }
