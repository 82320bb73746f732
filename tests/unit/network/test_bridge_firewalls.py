"""What other firewalls do with what the bridge's guests send, as nft lists them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from banger.network.bridge.firewalls import Firewall, find_firewall

DROP = {"type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}
PASS = DROP | {"policy": "accept"}
INVALID = [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}}]
REJECT: list[dict[str, Any]] = [{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]
FROM = ("forward", "input")
OURS = [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "banger0"}}]
ACCEPT: list[dict[str, Any]] = [{"accept": None}]


def chain(name: str, hook: dict[str, Any], table: str = "filter", family: str = "ip") -> Any:
    return {"chain": {"family": family, "table": table, "name": name, **hook}}


def rule(name: str, expr: list[Any], table: str = "filter", family: str = "ip") -> Any:
    return {"rule": {"family": family, "table": table, "chain": name, "expr": expr}}


def as_ipv6(listed: list[Any]) -> list[Any]:
    return [{kind: {**part, "family": "ip6"} for kind, part in each.items()} for each in listed]


FIREWALLD = [
    chain("filter_FORWARD", PASS, "firewalld", "inet"),
    rule("filter_FORWARD", [*INVALID, {"drop": None}], "firewalld", "inet"),
]
REFUSED = rule("filter_FORWARD", REJECT, "firewalld", "inet")
ZONES = rule("filter_FORWARD", [{"jump": {"target": "zones"}}], "firewalld", "inet")
DOCKER = [
    chain("DOCKER-USER", {}),
    chain("FORWARD", DROP),
    rule("FORWARD", [{"counter": {}}, {"jump": {"target": "DOCKER-USER"}}]),
]
UFW = [
    chain("INPUT", DROP | {"hook": "input"}),
    chain("FORWARD", DROP),
    chain("ufw-user-forward", {}),
    *(rule(name.upper(), [{"goto": {"target": f"ufw-user-{name}"}}]) for name in FROM),
]


@pytest.mark.parametrize(
    ("listed", "firewall"),
    [
        ([], Firewall.NONE),
        (DOCKER, Firewall.DOCKER),
        ([*DOCKER, rule("DOCKER-USER", [*OURS, *ACCEPT])], Firewall.NONE),
        ([*DOCKER, rule("DOCKER-USER", [*OURS, *ACCEPT], "raw")], Firewall.DOCKER),
        ([chain("DOCKER-USER", {}), chain("FORWARD", PASS)], Firewall.NONE),
        (UFW, Firewall.UFW),
        ([*UFW, rule("ufw-user-forward", [*OURS, *ACCEPT])], Firewall.UFW),
        ([*UFW, *(rule(f"ufw-user-{each}", [*OURS, *ACCEPT]) for each in FROM)], Firewall.NONE),
        ([*DOCKER, *UFW, rule("DOCKER-USER", [*OURS, *ACCEPT])], Firewall.UFW),
        ([chain("DOCKER-USER", {}), chain("INPUT", DROP | {"hook": "input"})], Firewall.OTHER),
        (FIREWALLD, Firewall.NONE),
        ([*FIREWALLD, REFUSED], Firewall.FIREWALLD),
        ([*FIREWALLD, ZONES, REFUSED, rule("zones", OURS, "firewalld", "inet")], Firewall.NONE),
        ([*FIREWALLD, REFUSED, rule("zones", OURS, "firewalld", "inet")], Firewall.FIREWALLD),
        ([chain("forward", DROP, "mine", "inet")], Firewall.OTHER),
        ([chain("forward", DROP, "mine", "ip6")], Firewall.NONE),
        ([chain("input", DROP | {"hook": "input"})], Firewall.OTHER),
        ([chain("output", DROP | {"hook": "output"})], Firewall.NONE),
        (
            [chain("forward", PASS, "banger"), rule("forward", [{"drop": None}], "banger")],
            Firewall.NONE,
        ),
    ],
)
def test_who_drops_is_named(listed: list[Any], firewall: Firewall) -> None:
    metainfo = {"metainfo": {"version": "1.0.6", "json_schema_version": 1}}
    assert find_firewall(json.dumps({"nftables": [metainfo, *listed]})) is firewall


@pytest.mark.parametrize(
    ("listed", "firewall"),
    [
        (DOCKER, Firewall.DOCKER),
        ([*DOCKER, rule("DOCKER-USER", [*OURS, *ACCEPT])], Firewall.NONE),
        (as_ipv6(DOCKER), Firewall.DOCKER6),
        (as_ipv6([*DOCKER, rule("DOCKER-USER", [*OURS, *ACCEPT])]), Firewall.NONE),
        (
            as_ipv6([chain("forward", DROP, "mine"), chain("ufw6-user-forward", {}, "mine")]),
            Firewall.UFW,
        ),
        (as_ipv6([chain("input", DROP | {"hook": "input"})]), Firewall.NONE),
        ([chain("forward", DROP, "banger", "ip6")], Firewall.NONE),
    ],
)
def test_ipv6_is_asked_about_where_it_is_shown_what_guests_send_each_other(
    listed: list[Any], firewall: Firewall
) -> None:
    printed = json.dumps({"nftables": listed})
    assert find_firewall(printed, is_ip6_bridged=True) is firewall
    if any("ip6" in json.dumps(each) for each in listed):
        assert find_firewall(printed) is Firewall.NONE


@pytest.mark.parametrize(
    "printed",
    ["", "x", "1", "[]", "{}", '{"nftables": 1}', '{"nftables": [{"chain": 1}]}'],
)
def test_what_no_nft_prints_is_told_apart(printed: str) -> None:
    """G5."""
    with pytest.raises(ValueError):
        find_firewall(printed)
