"""Egress rules as users write them."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import InvalidRequest
from banger.model.egress import (
    PORTS_MAX,
    RULES_MAX,
    Egress,
    Profile,
    Rule,
    add_rules,
    make_egress,
    parse_rule,
    split_rules,
)

NETWORK = IPv4Network("203.0.113.0/24")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("allow 203.0.113.0/24", Rule(True, NETWORK)),
        ("deny 203.0.113.7", Rule(False, IPv4Network("203.0.113.7/32"))),
        ("allow 203.0.113.0/24:443", Rule(True, NETWORK, 443, 443)),
        ("allow 203.0.113.0/24:80-90/udp", Rule(True, NETWORK, 80, 90, "udp")),
        ("deny 0.0.0.0/0/tcp", Rule(False, IPv4Network("0.0.0.0/0"), protocol="tcp")),
        ("allow host:5432", Rule(True, None, 5432, 5432)),
        ("allow example.org", Rule(True, None, name="example.org")),
        ("deny *.Example.ORG:22/tcp", Rule(False, None, 22, 22, "tcp", "*.example.org")),
        ("allow xn--a.example:80-82", Rule(True, None, 80, 82, None, "xn--a.example")),
        ("allow host.example.org", Rule(True, None, name="host.example.org")),
        ("deny @python", Rule(False, None, preset="python")),
    ],
)
def test_a_rule_is_read(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("", "allow", "permit 203.0.113.7", "allow example", "allow 203.0.113.7/24"),
        *("allow 203.0.113.7:0", "allow 203.0.113.7:65536", "allow 203.0.113.7:9-8", "allow ::1"),
        *("allow 203.0.113.0/33", "allow 1.2.3", "allow 203.0.113.7:80/icmp", "allow host"),
        *("allow *", "allow *.*.example.org", "allow a*.example.org", "allow example.org."),
        *("allow .example.org", "allow bücher.example", "allow -a.example", "allow a.b.1"),
        *("allow example.org/24", "allow example.org/udp", "allow " + "a." * 130 + "org"),
        *("allow 203.0.113.7:80/TCP", "allow example.org/UDP", "allow HOST:80", "allow \u212a.org"),
        *("allow @", "allow @Python", "allow @python:443", "allow @a.b", "allow @@a"),
        *("allow 203.0.113.7 ", "allow  203.0.113.7", "allow 01.2.3.4", "allow 203.0.113.7:٨"),
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_rule(text)
    assert caught.value.hint


@pytest.mark.parametrize("target", ["127.0.0.1:80", "0.0.0.0", "224.0.0.251", "255.255.255.255"])
def test_a_rule_that_could_do_nothing_is_refused(target: str) -> None:
    """E4: what no policy opens is not promised to be open."""
    with pytest.raises(InvalidRequest, match="No guest can reach"):
        parse_rule(f"allow {target}")


@given(st.text(max_size=40))
def test_any_text_is_a_rule_or_refused(untrusted: str) -> None:
    with contextlib.suppress(InvalidRequest):
        parse_rule(f"allow {untrusted}")


def test_a_policy_is_checked_as_a_whole() -> None:
    rules = ("allow 203.0.113.7", "deny 203.0.113.0/24")
    assert make_egress("none", rules) == Egress(profile=Profile.NONE, rules=rules)
    with pytest.raises(InvalidRequest, match="profile"):
        make_egress("all", ())
    with pytest.raises(InvalidRequest, match="201"):
        make_egress("public", ("deny 203.0.113.7",) * (RULES_MAX + 1))


def test_rules_of_a_setting_are_separated_by_commas() -> None:
    assert split_rules(" allow  203.0.113.7 ,, deny 0.0.0.0/0,") == (
        *("allow 203.0.113.7", "deny 0.0.0.0/0"),
    )
    assert split_rules("") == ()


def test_new_rules_come_first_and_replace_those_for_their_targets() -> None:
    before = Egress(rules=("deny 203.0.113.7", "allow 203.0.113.0/24"))
    after = add_rules(before, ["allow 203.0.113.7", "deny host:80"])
    assert after.rules == ("allow 203.0.113.7", "deny host:80", "allow 203.0.113.0/24")
    assert add_rules(after, [], profile="none").profile is Profile.NONE
    with pytest.raises(InvalidRequest):
        add_rules(before, ["allow example.com"])


def test_a_bandwidth_stays_with_other_changes() -> None:
    limited = add_rules(Egress(), [], bandwidth_mib=10)
    assert add_rules(limited, ["deny 203.0.113.7"], profile="none").bandwidth_mib == 10
    assert add_rules(limited, [], bandwidth_mib=0) == Egress()
    for wrong in (-1, 1 << 21):
        with pytest.raises(InvalidRequest, match="bandwidth"):
            add_rules(limited, [], bandwidth_mib=wrong)


def test_rules_by_name_are_of_a_profile_by_name() -> None:
    """I8: elsewhere they would do nothing."""
    for profile in ("public", "none"):
        with pytest.raises(InvalidRequest, match="not support rules by name"):
            make_egress(profile, ("deny example.org",))
        with pytest.raises(InvalidRequest, match="not support rules by name"):
            make_egress(profile, ("allow @python",))
    assert make_egress("allowlist", ("allow example.org", "deny 203.0.113.7")).is_by_name


def test_with_a_profile_by_address_rules_by_name_are_dropped() -> None:
    """I8: the others are kept."""
    rules = ("allow example.org", "allow @python", "allow 203.0.113.7:443")
    before = make_egress("allowlist", rules)
    assert add_rules(before, [], profile="public").rules == ("allow 203.0.113.7:443",)
    assert add_rules(before, [], profile="registries").rules == before.rules
    with pytest.raises(InvalidRequest, match="not support rules by name"):
        add_rules(before, ["deny example.org"], profile="none")


@pytest.mark.parametrize(
    "rules",
    [
        ("allow 203.0.113.7",),
        ("allow 203.0.113.7:53/udp",),
        (f"allow example.org:1-{PORTS_MAX + 1}",),
        ("allow example.org", f"allow 203.0.113.7:1000-{1000 + PORTS_MAX - 2}"),
    ],
)
def test_a_profile_by_name_carries_tcp_to_few_ports(rules: tuple[str, ...]) -> None:
    """I8: what could not be carried is not promised."""
    with pytest.raises(InvalidRequest):
        make_egress("allowlist", rules)
