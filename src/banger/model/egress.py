"""Egress policies: which connections of a VM may leave it. Pure.

A policy is a profile and rules. The first rule that matches a connection decides, then the
profile. Rules are kept as texts such as `allow 203.0.113.0/24:443/tcp` or `allow *.example.org`;
`host` stands for the host's loopback, `@python` for the names of a preset. Rules by name are those
of profiles by name alone, whose networks carry TCP to ports that are named (ADR 0096).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from ipaddress import IPv4Network
from typing import NamedTuple

from msgspec import Struct

from banger.errors import InvalidRequest

HOST = "host"
RULES_MAX = 200
"""Most rules of a VM; the egress filter takes 256, and the profile has some."""
PORTS = range(1, 65536)
NEVER = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")))
WEB_PORTS = (80, 443)
"""Those of a rule by name that names none."""
PORTS_MAX = 44
"""Most ports of the rules that allow, with a profile by name: each needs a socket that listens."""
BANDWIDTH_MAX_MIB = 1024 * 1024
NAME_MAX = 253
DIGITS = "0123456789"
_PRESET = re.compile(r"@([a-z]{1,20})")
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_TARGET = re.compile(
    rf"(?P<network>host|[0-9.]{{7,15}}(?:/[0-9]{{1,2}})?|(?P<name>(?:\*\.)?(?:{_LABEL}\.)*{_LABEL}))"
    r"(?::(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?)?(?:/(?P<protocol>tcp|udp))?"
)


class Profile(StrEnum):
    """What a policy says of connections that no rule matches."""

    NONE = "none"
    """Denied, and no names are resolved."""
    PUBLIC = "public"
    """Allowed to public addresses, denied to the host's own and to private ones."""
    ALLOWLIST = "allowlist"
    """Denied; names that rules allow, and no others, are resolved and reached by name."""
    REGISTRIES = "registries"
    """As `allowlist`, with public registries of packages and hosts of code allowed."""


BY_NAME = (Profile.ALLOWLIST, Profile.REGISTRIES)
"""Profiles with which what leaves is reached by its name."""


class Egress(Struct, frozen=True, kw_only=True):
    """An egress policy."""

    profile: Profile = Profile.PUBLIC
    rules: tuple[str, ...] = ()
    """Rules, of which the first that matches decides."""
    bandwidth_mib: int = 0
    """Most MiB that the network carries each way in a second; 0: no limit."""

    @property
    def is_by_name(self) -> bool:
        """Tell whether what leaves is reached by its name, through a network made for that."""
        return self.profile in BY_NAME


class Rule(NamedTuple):
    """A parsed rule."""

    allows: bool
    network: IPv4Network | None
    """None: a name, or the host's loopback."""
    first: int = 0
    last: int = PORTS[-1]
    protocol: str | None = None
    """`tcp` or `udp`; None means all."""
    name: str | None = None
    """A rule by name: a name in lower case, or `*.` and what the names end with."""
    preset: str | None = None
    """A rule for each target of this preset (`network/egress/presets.py`)."""

    @property
    def is_by_name(self) -> bool:
        """Tell whether profiles by name alone have such rules."""
        return bool(self.name or self.preset)

    def has_name(self, name: str) -> bool:
        """Tell whether the rule is for a name, which is in lower case and has no dot at its end."""
        if self.name is None or not self.name.startswith("*."):
            return self.name == name
        return name.endswith(self.name[1:])

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that a rule names; of a rule by name without any, those of the web."""
        if self.first:
            return tuple(range(self.first, self.last + 1))
        return WEB_PORTS if self.name else ()


class Denial(NamedTuple):
    """A target that a VM was denied."""

    target: str
    """As in a rule."""
    times: int
    last_at: float
    """Seconds of the Unix epoch."""
    is_outside: bool
    """False: no rule would allow it."""
    why: str = ""
    """What was wrong, where that is not the target."""


def find_rule(denial: Denial) -> str | None:
    """Return the rule that allows what was denied; None: there can be none."""
    rule = f"allow {denial.target}"
    if not denial.is_outside:
        return None
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
    found, preset = _TARGET.fullmatch(target), _PRESET.fullmatch(target)
    if verdict not in ("allow", "deny") or not (found or preset):
        raise _no_rule(
            untrusted_text,
            "expected allow or deny and NAME[:PORT], @PRESET or IPv4 ADDRESS[/BITS][:PORT]",
        )
    if found is None:
        assert preset is not None
        return Rule(verdict == "allow", None, preset=preset[1])
    first, last = 0, PORTS[-1]
    if found["first"]:
        first, last = int(found["first"]), int(found["last"] or found["first"])
        if first not in PORTS or last not in PORTS or first > last:
            raise _no_rule(untrusted_text, "ports are 1 to 65535")
    elif found["network"] == HOST:
        raise _no_rule(untrusted_text, "the host needs a port")
    network, name = None, None
    if found["name"]:
        name = _require_name(untrusted_text, found["name"].lower(), found["protocol"])
    elif found["network"] != HOST:
        network = _parse_network(found["network"])
    return Rule(verdict == "allow", network, first, last, found["protocol"], name)


def _require_name(untrusted_text: str, name: str, protocol: str | None) -> str:
    """Return a name that may be one of the internet, and is no address."""
    labels = name.split(".")
    if len(labels) < 2 or labels[-1][0] in DIGITS or len(name) > NAME_MAX:
        raise _no_rule(untrusted_text, "not a name such as example.org, nor an IPv4 network")
    if protocol == "udp":
        raise _no_rule(untrusted_text, "rules by name are for TCP only")
    return name


def _parse_network(untrusted_text: str) -> IPv4Network:
    try:
        network = IPv4Network(untrusted_text)
    except ValueError as error:
        raise _no_rule(untrusted_text, "not an IPv4 network") from error
    if any(network.subnet_of(never) for never in NEVER):
        raise InvalidRequest(
            f"No guest can reach {network}: it is loopback, multicast or unused.",
            hint="--allow-host PORT",
        )
    return network


def _no_rule(untrusted_text: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"{untrusted_text!r:.100} is not a rule: {why}.", hint="--allow 203.0.113.0/24:443/tcp"
    )


def make_egress(profile: str, rules: tuple[str, ...], *, bandwidth_mib: int = 0) -> Egress:
    """Return a policy of valid rules.

    Raises:
        InvalidRequest: there is no such profile or bandwidth, a rule is not valid, or there are
            too many.
    """
    if profile not in tuple(Profile):
        raise InvalidRequest(
            f"There is no egress profile {profile!r}; profiles are {', '.join(Profile)}.",
            hint=f"--egress {Profile.PUBLIC}",
        )
    if len(rules) > RULES_MAX:
        raise InvalidRequest(f"A VM can have at most {RULES_MAX} egress rules, not {len(rules)}.")
    if not 0 <= bandwidth_mib <= BANDWIDTH_MAX_MIB:
        raise InvalidRequest(
            f"A bandwidth is 1 to {BANDWIDTH_MAX_MIB} MiB per second, or 0 for no limit.",
            hint="--bandwidth 10M",
        )
    egress = Egress(profile=Profile(profile), rules=rules, bandwidth_mib=bandwidth_mib)
    parsed = [parse_rule(rule) for rule in rules]
    if egress.is_by_name:
        require_ports(parsed)
    elif any(rule.is_by_name for rule in parsed):
        raise InvalidRequest(
            f"The egress profile {profile} does not support rules by name.",
            hint=f"banger vm run --egress {Profile.ALLOWLIST} --allow example.org",
        )
    return egress


def require_ports(rules: Iterable[Rule]) -> None:
    """Check that what is allowed by a profile by name can be carried.

    Raises:
        InvalidRequest: it cannot.
    """
    ports: set[int] = set()
    for rule in rules:
        if not rule.allows or rule.preset:
            continue
        if not rule.ports or rule.protocol == "udp":
            raise InvalidRequest(
                "Rules of an egress profile by name must name TCP ports.",
                hint="--allow 203.0.113.0/24:443",
            )
        ports.update(rule.ports)
    if len(ports) > PORTS_MAX:
        raise InvalidRequest(
            f"Rules of an egress profile by name allow at most {PORTS_MAX} ports, not {len(ports)}."
        )


def add_rules(
    egress: Egress,
    rules: Sequence[str],
    *,
    profile: str | None = None,
    bandwidth_mib: int | None = None,
) -> Egress:
    """Return a policy with rules before its own; own rules for the same targets are dropped.

    So are its rules by name with a `profile` that has none. What is None stays.

    Raises:
        InvalidRequest: as `make_egress`.
    """
    targets = {_target_of(rule) for rule in rules}
    kept = [rule for rule in egress.rules if _target_of(rule) not in targets]
    if profile and profile not in BY_NAME:
        kept = [rule for rule in kept if not parse_rule(rule).is_by_name]
    if bandwidth_mib is None:
        bandwidth_mib = egress.bandwidth_mib
    return make_egress(
        profile or egress.profile.value, (*rules, *kept), bandwidth_mib=bandwidth_mib
    )


def _target_of(rule: str) -> str:
    return rule.partition(" ")[2]


def split_rules(text: str) -> tuple[str, ...]:
    """Return the rules of a setting, which commas separate."""
    return tuple(rule for part in text.split(",") if (rule := " ".join(part.split())))
