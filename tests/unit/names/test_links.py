"""Links, and what they mean."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.model.names import NAME
from banger.names import choose_web_port, format_link, format_web_link
from banger.names.answers import Refusal, render_page
from banger.names.links import LABEL_MAX, parse_host

ID = "0123456789ab"
names = st.from_regex(NAME, fullmatch=True)
ports = st.integers(1, 65535)


@given(names, ports, ports)
def test_a_link_leads_back_to_where_it_is_from(name: str, port: int, front_port: int) -> None:
    """By the VM's id where the name is too long for a label."""
    host = urlsplit(format_link(name, ID, port, front_port=front_port)).netloc
    assert len(host.partition(".")[0]) <= LABEL_MAX
    found = parse_host(host.encode())
    assert found.port == port
    assert found.name == name or (found.name == ID and len(name) > 57)
    host = urlsplit(format_web_link(name, ID, port, front_port=front_port)).netloc
    found = parse_host(host.encode())
    assert found.name in (name, ID) and found.port in (None, port)


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("8000-calm-otter.localhost:7780", "calm-otter", 8000),
        ("Calm-Otter.LocalHost.", "calm-otter", None),
        ("65535-a.localhost", "a", 65535),
        ("1-2-a.localhost", "2-a", 1),
        ("0-a.localhost", "0-a", None),
        ("08000-a.localhost", "08000-a", None),
        ("123456-a.localhost", "123456-a", None),
        ("8000-.localhost", "8000-", None),
        ("8000.localhost", "8000", None),
    ],
)
def test_digits_and_a_hyphen_are_a_port(host: str, name: str, port: int | None) -> None:
    """C6: what a link means does not depend on which VMs there are."""
    assert parse_host(host.encode()) == (name, port)


@given(st.binary(max_size=80))
def test_any_host_is_parsed_or_refused(untrusted_host: bytes) -> None:
    """E4: and what is parsed is a name that a VM can have."""
    with contextlib.suppress(Refusal):
        found = parse_host(untrusted_host)
        assert NAME.fullmatch(found.name)
        assert found.port is None or 0 < found.port < 65536


@pytest.mark.parametrize(
    ("listening", "chosen"),
    [([22, 8000, 3000], 3000), ([22, 5432, 6379], None), ([80, 8080], 80), ([], None)],
)
def test_a_name_alone_leads_to_the_lowest_web_port(
    listening: list[int], chosen: int | None
) -> None:
    assert choose_web_port(listening) == chosen


@given(st.text(max_size=50), st.text(max_size=50))
def test_pages_escape_what_they_say(fact: str, hint: str) -> None:
    """E3: for a browser; for others they are plain text, and browsers are told so."""
    refusal = Refusal(404, f"<b>{fact}", hint=f"<i>{hint}")
    page = render_page(refusal, accept=b"text/html,application/xml;q=0.9")
    assert b"<b>" not in page.body and b"<i>" not in page.body
    plain = dict(render_page(refusal, accept=b"*/*").fields)
    assert plain["content-type"].startswith("text/plain")
    assert plain["x-content-type-options"] == "nosniff"
