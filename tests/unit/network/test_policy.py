"""A policy as the egress filter takes it."""

from __future__ import annotations

import socket
import struct

import pytest

from banger.errors import InvalidRequest
from banger.model.egress import (
    PORTS_MAX,
    RULES_MAX,
    Denial,
    Egress,
    Profile,
    find_rule,
    make_egress,
)
from banger.model.names import VmId
from banger.network.egress.policy import PRIVATE, parse_denials, render_policy
from banger.network.egress.presets import list_rules
from banger.network.table import require_policy
from banger.network.user.kind import NETWORK
from banger.network.user.proxy.policy import Policy
from banger.words import NETWORKS, NO_NETWORK

INTERFACE = NETWORK.plan_interface(VmId("0123456789ab"))
OWN_NETWORK = "deny any 10.0.2.0/24:0-65535"
DHCP = ["allow udp 255.255.255.255/32:67-67", "allow udp 10.0.2.2/32:67-67"]


def render(egress: Egress, *dns_protocols: str) -> list[str]:
    """Return the rules as texts."""
    return format_policy(render_policy(egress, INTERFACE, dns_protocols=dns_protocols))


def format_policy(policy: bytes) -> list[str]:
    names = {0: "any", 6: "tcp", 17: "udp"}
    return [
        f"{'allow' if allows else 'deny'} {names[protocol]} "
        f"{socket.inet_ntoa(network)}/{prefix}:{first}-{last}"
        for allows, protocol, prefix, network, first, last in struct.iter_unpack(
            "!BBBx4sHH", policy
        )
    ]


def test_public_is_everything_but_private_networks() -> None:
    assert render(Egress(), "udp") == [
        *DHCP,
        "allow udp 10.0.2.3/32:53-53",
        OWN_NETWORK,
        *(f"deny any {network}:0-65535" for network in PRIVATE),
        "allow any 0.0.0.0/0:0-65535",
    ]


def test_tcp_goes_to_the_nameserver_where_the_back_end_answers_it() -> None:
    assert "allow tcp 10.0.2.3/32:53-53" in render(Egress(), "udp", "tcp")


def test_the_hosts_loopback_is_in_no_network() -> None:
    """E4: nor in the VM's own, whose addresses mean the host to slirp4netns."""
    rules = ("allow 10.0.0.0/8", "deny host:81", "allow host:80-90/tcp")
    assert render(Egress(profile=Profile.NONE, rules=rules), "udp") == [
        *DHCP,
        "deny any 10.0.2.2/32:81-81",
        "allow tcp 10.0.2.2/32:80-90",
        OWN_NETWORK,
        "allow any 10.0.0.0/8:0-65535",
    ]


def test_names_are_reached_at_their_ports_by_tcp() -> None:
    """E4: whatever the proxy decides, the filter lets nothing else out."""
    rules = (
        *("allow example.org", "allow *.example.org:22", "deny a.example.org:25"),
        *("allow 203.0.113.7:8443", "allow host:80"),
    )
    policy = Egress(profile=Profile.ALLOWLIST, rules=rules)
    assert render(policy, "udp", "tcp") == [
        *DHCP,
        "allow any 10.0.2.2/32:80-80",
        "allow udp 10.0.2.3/32:53-53",
        "allow tcp 10.0.2.3/32:53-53",
        OWN_NETWORK,
        *(f"allow tcp 198.18.0.0/15:{port}-{port}" for port in (22, 80, 443)),
        "deny any 198.18.0.0/15:0-65535",
        "allow any 203.0.113.7/32:8443-8443",
    ]


def test_registries_are_allowed_after_the_rules_of_the_vm() -> None:
    """E4: each target of the file is a rule, and one of the user's comes before it."""
    egress = make_egress("registries", ("deny github.com", "allow example.org:8443"))
    policy = Policy(egress)
    assert policy.allows_name("pypi.org", 443)
    assert not policy.allows_name("github.com", 443)
    assert policy.allows_name("example.org", 8443)
    assert not policy.allows_name("example.org", 443)
    assert "allow tcp 198.18.0.0/15:22-22" in render(egress, "udp")
    assert all(rule.name and rule.allows for rule in list_rules(egress)[2:])


def test_a_preset_is_each_of_its_targets() -> None:
    """E4: by name and by kind, and at the place of its rule."""
    rules = ("deny crates.io", "deny @gitlab", "allow @python", "allow @code", "allow @rust")
    egress = make_egress("allowlist", rules)
    policy = Policy(egress)
    found = {
        (name, port): policy.allows_name(name, port)
        for name in ("pypi.org", "crates.io", "static.crates.io", "gitlab.com", "codeberg.org")
        for port in (22, 443)
    }
    assert {target for target, allowed in found.items() if allowed} == {
        ("pypi.org", 443),
        ("static.crates.io", 443),
        ("codeberg.org", 22),
        ("codeberg.org", 443),
    }
    assert not policy.allows_name("registry.npmjs.org", 443)
    assert {"ghcr.io", "github.com"} <= {
        str(rule.name) for rule in list_rules(Egress(rules=("allow @github",)))
    }
    assert "allow tcp 198.18.0.0/15:22-22" in render(egress, "udp")


def test_a_preset_that_there_is_not_is_named_with_those_that_there_are() -> None:
    for word in (*NETWORKS, NO_NETWORK):
        with pytest.raises(InvalidRequest, match=r"no preset @pyton; there are .*@python "):
            require_policy(word, make_egress("allowlist", ("allow @pyton",)))


def test_as_many_rules_as_a_policy_may_have_fit_the_filter() -> None:
    """I8."""
    ports = f"allow example.org:1-{PORTS_MAX}"
    rules = (ports, *(f"deny 203.0.113.7:{port}" for port in range(1, RULES_MAX)))
    policy = make_egress("registries", rules)
    assert len(render(policy, "udp", "tcp")) <= 256


def denial(address: str, port: int, protocol: int) -> bytes:
    return struct.pack("!Q4sHBxI", 7, socket.inet_aton(address), port, protocol, 3)


def test_each_denial_has_the_rule_that_would_allow_it() -> None:
    """I6: where there can be one."""
    told = [
        (denial("203.0.113.9", 443, 6), "203.0.113.9:443/tcp", "allow 203.0.113.9:443/tcp"),
        (denial("203.0.113.9", 0, 1), "203.0.113.9", "allow 203.0.113.9"),
        (denial("10.0.2.2", 5432, 6), "host:5432/tcp", "allow host:5432/tcp"),
        (denial("10.0.2.2", 0, 1), "host", None),
        (denial("127.0.0.1", 22, 6), "127.0.0.1:22/tcp", None),
        (denial("224.0.0.251", 5353, 17), "224.0.0.251:5353/udp", None),
    ]
    untrusted = b"".join(each for each, _, _ in told) + b"not whole"
    denials = parse_denials(untrusted, INTERFACE)
    assert denials == [Denial(target, 3, 7.0, True) for _, target, _ in told]
    assert [find_rule(each) for each in denials] == [rule for _, _, rule in told]


def test_no_rule_reaches_the_vms_own_network() -> None:
    (denied,) = parse_denials(denial("10.0.2.3", 53, 17), INTERFACE)
    assert not denied.is_outside


def test_denials_of_neighbours_have_rules_that_would_allow_them() -> None:
    """I6: those of their host where its own rules would let anything pass."""
    told = [
        (denial("10.0.2.9", 80, 6), "allow 10.0.2.9:80/tcp"),
        (denial("10.0.2.2", 53, 17), "allow 10.0.2.2:53/udp"),
        (denial("10.0.2.2", 0, 1), "allow 10.0.2.2"),
        (denial("10.0.2.2", 5432, 6), None),
    ]
    denials = parse_denials(b"".join(each for each, _ in told), INTERFACE, has_neighbours=True)
    assert [find_rule(each) for each in denials] == [rule for _, rule in told]


def test_neighbours_are_answered_and_the_host_decides_what_begins_there() -> None:
    """E4: after the user's rules, and not with the profile `none`."""
    rules = ("deny 10.0.2.9",)
    policies = [
        render_policy(
            Egress(profile=profile, rules=rules), INTERFACE, dns_protocols=(), has_neighbours=True
        )
        for profile in (Profile.PUBLIC, Profile.NONE)
    ]
    assert [format_policy(policy)[2:6] for policy in policies] == [
        [
            "deny any 10.0.2.9/32:0-65535",
            "allow any 10.0.2.0/24:0-65535",
            "allow any 10.0.2.2/32:0-65535",
            f"deny any {PRIVATE[0]}:0-65535",
        ],
        ["deny any 10.0.2.9/32:0-65535"],
    ]
