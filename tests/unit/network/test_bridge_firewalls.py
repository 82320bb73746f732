"""What other firewalls do with what the bridge forwards, as nft lists them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from banger.network.bridge.firewalls import Firewall, find_firewall

DROP = {"type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}
PASS = DROP | {"policy": "accept"}
INVALID = [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}}]
REJECT: list[dict[str, Any]] = [{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]
OURS = [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "banger0"}}]
ACCEPT: list[dict[str, Any]] = [{"accept": None}]


def chain(name: str, hook: dict[str, Any], table: str = "filter", family: str = "ip") -> Any:
    return {"chain": {"family": family, "table": table, "name": name, **hook}}


def rule(name: str, expr: list[Any], table: str = "filter", family: str = "ip") -> Any:
    return {"rule": {"family": family, "table": table, "chain": name, "expr": expr}}


FIREWALLD = [
    chain("filter_FORWARD", PASS, "firewalld", "inet"),
    rule("filter_FORWARD", [*INVALID, {"drop": None}], "firewalld", "inet"),
]
REFUSED = rule("filter_FORWARD", REJECT, "firewalld", "inet")
DOCKER = [chain("DOCKER-USER", {}), chain("FORWARD", DROP)]
UFW = [chain("FORWARD", DROP), chain("ufw-user-forward", {})]


@pytest.mark.parametrize(
    ("listed", "firewall"),
    [
        ([], Firewall.NONE),
        (DOCKER, Firewall.DOCKER),
        ([*DOCKER, rule("DOCKER-USER", [*OURS, *ACCEPT])], Firewall.NONE),
        ([*DOCKER, rule("DOCKER-USER", [*OURS, *ACCEPT], "raw")], Firewall.DOCKER),
        ([chain("DOCKER-USER", {}), chain("FORWARD", PASS)], Firewall.NONE),
        (UFW, Firewall.UFW),
        (FIREWALLD, Firewall.NONE),
        ([*FIREWALLD, REFUSED], Firewall.FIREWALLD),
        ([*FIREWALLD, REFUSED, rule("x", OURS, "firewalld", "inet")], Firewall.NONE),
        ([chain("forward", DROP, "mine", "inet")], Firewall.OTHER),
        ([chain("forward", DROP, "mine", "ip6")], Firewall.NONE),
        ([chain("input", DROP | {"hook": "input"})], Firewall.NONE),
        (
            [chain("forward", PASS, "banger"), rule("forward", [{"drop": None}], "banger")],
            Firewall.NONE,
        ),
    ],
)
def test_who_drops_is_named(listed: list[Any], firewall: Firewall) -> None:
    metainfo = {"metainfo": {"version": "1.0.6", "json_schema_version": 1}}
    assert find_firewall(json.dumps({"nftables": [metainfo, *listed]})) is firewall
