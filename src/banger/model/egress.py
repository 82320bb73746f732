"""Egress policies: which connections of a VM may leave it. Pure.

A policy is a profile and rules. The first rule that matches a connection decides, then the
profile. Rules are kept as texts such as `allow 203.0.113.0/24:443/tcp`; `host` stands for the
host's loopback.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from ipaddress import IPv4Network
from typing import NamedTuple

from msgspec import Struct

from banger.errors import InvalidRequest

HOST = "host"
RULES_MAX = 200
"""Most rules of a VM; the egress filter takes 256, and the profile has some."""
PORTS = range(1, 65536)
_NEVER = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")))
_TARGET = re.compile(
    r"(?P<network>host|[0-9.]{7,15}(?:/[0-9]{1,2})?)"
    r"(?::(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?)?(?:/(?P<protocol>tcp|udp))?"
)


class Profile(StrEnum):
    """What a policy says of connections that no rule matches."""

    NONE = "none"
    """Denied, and no names are resolved."""
    PUBLIC = "public"
    """Allowed to public addresses, denied to the host's own and to private ones."""


class Egress(Struct, frozen=True, kw_only=True):
    """An egress policy."""

    profile: Profile = Profile.PUBLIC
    rules: tuple[str, ...] = ()
    """Rules, of which the first that matches decides."""


class Rule(NamedTuple):
    """A parsed rule."""

    allows: bool
    network: IPv4Network | None
    """None: the host's loopback."""
    first: int = 0
    last: int = PORTS[-1]
    protocol: str | None = None
    """`tcp` or `udp`; None means all."""


class Denial(NamedTuple):
    """A target that a VM was denied."""

    target: str
    """As in a rule."""
    times: int
    last_at: float
    """Seconds of the Unix epoch."""
    is_outside: bool
    """False: an address of the VM's own network, which no rule reaches."""


def find_rule(denial: Denial) -> str | None:
    """Return the rule that allows what was denied; None: there can be none."""
    rule = f"allow {denial.target}"
    try:
        parse_rule(rule)
    except InvalidRequest:
        return None
    return rule


def parse_rule(untrusted_text: str) -> Rule:
    """Parse `allow TARGET` or `deny TARGET`.

    Raises:
        InvalidRequest: it is no rule, or one that could do nothing.
    """
    verdict, _, target = untrusted_text.partition(" ")
    found = _TARGET.fullmatch(target)
    if verdict not in ("allow", "deny") or found is None:
        raise _no_rule(untrusted_text, "expected allow or deny and ADDRESS[/BITS][:PORT]")
    network = None if found["network"] == HOST else _parse_network(found["network"])
    first, last = 0, PORTS[-1]
    if found["first"]:
        first, last = int(found["first"]), int(found["last"] or found["first"])
        if first not in PORTS or last not in PORTS or first > last:
            raise _no_rule(untrusted_text, "ports are 1 to 65535")
    elif network is None:
        raise _no_rule(untrusted_text, "the host needs a port")
    return Rule(verdict == "allow", network, first, last, found["protocol"])


def _parse_network(untrusted_text: str) -> IPv4Network:
    try:
        network = IPv4Network(untrusted_text)
    except ValueError as error:
        raise _no_rule(untrusted_text, "not an IPv4 network") from error
    if any(network.subnet_of(never) for never in _NEVER):
        raise InvalidRequest(
            f"No guest can reach {network}: it is the host's loopback, multicast or unused.",
            hint="--allow-host PORT",
        )
    return network


def _no_rule(untrusted_text: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"{untrusted_text!r:.100} is not a rule: {why}.", hint="--allow 203.0.113.0/24:443/tcp"
    )


def make_egress(profile: str, rules: tuple[str, ...]) -> Egress:
    """Return a policy of valid rules.

    Raises:
        InvalidRequest: there is no such profile, a rule is not valid, or there are too many.
    """
    if profile not in tuple(Profile):
        raise InvalidRequest(
            f"There is no egress profile {profile!r}; profiles are {', '.join(Profile)}.",
            hint=f"--egress {Profile.PUBLIC}",
        )
    if len(rules) > RULES_MAX:
        raise InvalidRequest(f"A VM has at most {RULES_MAX} egress rules, not {len(rules)}.")
    for rule in rules:
        parse_rule(rule)
    return Egress(profile=Profile(profile), rules=rules)


def add_rules(egress: Egress, rules: Sequence[str], *, profile: str | None = None) -> Egress:
    """Return a policy with rules before its own; own rules for the same targets are dropped.

    Raises:
        InvalidRequest: as `make_egress`.
    """
    targets = {_target_of(rule) for rule in rules}
    kept = [rule for rule in egress.rules if _target_of(rule) not in targets]
    return make_egress(profile or egress.profile, (*rules, *kept))


def _target_of(rule: str) -> str:
    return rule.partition(" ")[2]


def split_rules(text: str) -> tuple[str, ...]:
    """Return the rules of a setting, which commas separate."""
    return tuple(rule for part in text.split(",") if (rule := " ".join(part.split())))
