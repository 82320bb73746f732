"""E4: which of many addresses a guest reaches by which egress policy, in namespaces of the test."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from banger.model.egress import Egress, Profile
from banger.network.user.tools import PASST, SLIRP
from tests.component.network.escapes import (
    ATTEMPTS,
    GATEWAY,
    LATER,
    OWN,
    PORT,
    PRIVATE,
    PUBLIC,
    ROUTER,
)
from tests.component.network.test_user_network import run_in_namespace

SCRIPT = Path(__file__).with_name("escapes.py")
NONE = Profile.NONE
OUTSIDE = {*PUBLIC, ROUTER}
"""What a guest reaches by default."""


def both(addresses: set[str]) -> set[str]:
    return {f"{address} {protocol}" for address in addresses for protocol in ("tcp", "udp")}


CASES = (
    (Egress(), both(OUTSIDE), both({PUBLIC[0]})),
    (Egress(profile=NONE), set(), set()),
    (
        Egress(profile=NONE, rules=(f"allow {PUBLIC[0]}:{PORT}/udp", "allow 203.0.113.5:81")),
        {f"{PUBLIC[0]} udp"},
        {f"{PUBLIC[0]} udp"},
    ),
    (
        Egress(rules=(f"allow host:{PORT}", f"allow {OWN[0]}", "allow 192.168.0.0/16:8000/tcp")),
        both({*OUTSIDE, GATEWAY, OWN[0]}) | {f"{PRIVATE[-4]} tcp", f"{PRIVATE[-3]} tcp"},
        both({PUBLIC[0]}),
    ),
    (
        Egress(rules=(f"allow {LATER}", "deny 203.0.113.0/24", "deny 192.0.2.0/23")),
        both({LATER, PUBLIC[2]}),
        both({LATER}),
    ),
    (
        # Everything is everything that is the host's neither now nor later.
        Egress(rules=("allow 0.0.0.0/0", "allow host:81")),
        both({*OUTSIDE, *PRIVATE} - {"10.0.2.3", "10.0.2.16"}),
        both({PUBLIC[0]}),
    ),
)


@pytest.mark.parametrize(
    ("back_end", "case"),
    [*((SLIRP, case) for case in CASES), (PASST, CASES[0]), (PASST, CASES[3])],
)
def test_a_guest_reaches_what_its_policy_allows(
    short_dir: Path, back_end: str, case: tuple[Egress, set[str], set[str]]
) -> None:
    """E4: 80 attempts each, by TCP and UDP, of which the other ones are not answered."""
    egress, reached, reached_later = case
    policy, enough = msgspec.json.encode(egress).decode(), (len(reached), len(reached_later))
    said = run_in_namespace(str(SCRIPT), str(short_dir), back_end, policy, *map(str, enough))
    before, after = json.loads(said)
    assert len(ATTEMPTS) == 40
    assert set(before) == reached
    assert set(after) == reached_later
