"""The texts of both ends of a forward, which rows of the database hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.forwards import (
    Endpoint,
    GuestEnd,
    GuestPort,
    GuestSocket,
    HostEnd,
    SocketPath,
    format_guest_end,
    format_host_end,
    parse_guest_end,
    parse_host_end,
)

PROTOCOLS = st.sampled_from(["tcp", "udp"])
PORTS = st.integers(1, 65535)
PATHS = st.text(st.characters(exclude_characters="\0", codec="utf-8")).map(lambda text: f"/{text}")
ADDRESSES = st.ip_addresses().map(str)


@given(st.one_of(st.builds(Endpoint, ADDRESSES, PORTS, PROTOCOLS), st.builds(SocketPath, PATHS)))
def test_a_hosts_end_comes_back_from_its_text(end: HostEnd) -> None:
    assert parse_host_end(format_host_end(end)) == end


@given(st.one_of(st.builds(GuestPort, PORTS, PROTOCOLS), st.builds(GuestSocket, PATHS)))
def test_a_guests_end_comes_back_from_its_text(end: GuestEnd) -> None:
    assert parse_guest_end(format_guest_end(end)) == end


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (Endpoint("127.0.0.1", 8080), "tcp:127.0.0.1:8080"),
        (Endpoint("::1", 53, "udp"), "udp:[::1]:53"),
        (SocketPath("/home/user/a:b.sock"), "unix:/home/user/a:b.sock"),
    ],
)
def test_the_text_of_a_hosts_end_stays(end: HostEnd, text: str) -> None:
    """B11: what older daemons saved has the same meaning."""
    assert format_host_end(end) == text
    assert parse_host_end(text) == end


def test_the_text_of_a_guests_end_stays() -> None:
    """B11."""
    assert parse_guest_end("tcp:80") == GuestPort(80)
    assert parse_guest_end("udp:53") == GuestPort(53, "udp")
    assert parse_guest_end("unix:/run/app.sock") == GuestSocket("/run/app.sock")


def test_a_row_of_what_is_not_known_is_not_taken_for_something_else() -> None:
    with pytest.raises(ValueError, match="no protocol"):
        parse_host_end("sctp:127.0.0.1:80")


def test_ends_of_different_kinds_differ() -> None:
    """C6: TCP and UDP have numbers of their own."""
    assert Endpoint("127.0.0.1", 53) != Endpoint("127.0.0.1", 53, "udp")
    assert str(Endpoint("::1", 53, "udp")) == "[::1]:53/udp"
