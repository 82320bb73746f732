"""The egress policy of a new VM: what is asked for, with what is configured behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from banger.api.requests import VmCreate
from banger.config import decide_settings
from banger.engine.verbs.resolve import choose_egress
from banger.errors import InvalidRequest
from banger.model.egress import Egress, Profile

BY_NAME, BY_ADDRESS, OWN = "allow example.org", "allow 203.0.113.7:443", "deny 198.51.100.7:80"


def choose(profile: str, asked: str | None) -> Egress:
    """Return the policy of a VM where this profile is configured and another may be asked for."""
    fields = {"egress.profile": profile, "egress.rules": f"{BY_NAME}, {BY_ADDRESS}"}
    settings = decide_settings(fields, Path("/nonexistent"), {})
    return choose_egress(VmCreate(egress=asked, egress_rules=[OWN]), settings)


@pytest.mark.parametrize("asked", [None, "registries"])
def test_configured_rules_follow_those_of_a_request(asked: str | None) -> None:
    egress = choose("allowlist", asked)
    assert egress.profile == (asked or Profile.ALLOWLIST)
    assert egress.rules == (OWN, BY_NAME, BY_ADDRESS)


@pytest.mark.parametrize("asked", ["none", "public"])
def test_a_profile_that_is_asked_for_does_without_configured_rules_by_name(asked: str) -> None:
    egress = choose("allowlist", asked)
    assert (egress.profile, egress.rules) == (asked, (OWN, BY_ADDRESS))


def test_configured_rules_that_the_configured_profile_cannot_have_are_refused() -> None:
    """I8: a rule that denies a name is not dropped unasked."""
    with pytest.raises(InvalidRequest, match="public does not support rules by name"):
        choose("public", None)
    assert choose("public", "allowlist").rules == (OWN, BY_NAME, BY_ADDRESS)


def choose_with_secrets(asked: str | None, *, rules: list[str], profile: str = "public") -> Egress:
    """Return the policy of a VM that has a secret."""
    settings = decide_settings({"egress.profile": profile}, Path("/nonexistent"), {})
    params = VmCreate(egress=asked, egress_rules=rules, secrets=["TOKEN"])
    return choose_egress(params, settings)


def test_a_vm_with_secrets_reaches_hosts_by_name() -> None:
    assert choose_with_secrets(None, rules=[]).profile is Profile.REGISTRIES
    assert choose_with_secrets("allowlist", rules=[]).profile is Profile.ALLOWLIST
    assert choose_with_secrets(None, rules=[], profile="allowlist").profile is Profile.ALLOWLIST


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"egress": "none"}, "egress policy"),
        ({"egress_rules": [OWN]}, "egress policy"),
        ({"secrets": ["TOKEN"]}, "secrets"),
        ({"bandwidth_mib": 10}, "bandwidth"),
    ],
)
def test_what_a_vm_without_a_network_cannot_have_is_named(asked: Any, what: str) -> None:
    settings = decide_settings({}, Path("/nonexistent"), {})
    with pytest.raises(InvalidRequest, match=f"has no {what}"):
        choose_egress(VmCreate(network="none", **asked), settings)


@pytest.mark.parametrize("asked", ["none", "public"])
def test_secrets_need_a_profile_by_name(asked: str) -> None:
    """C7: it is not replaced where it was asked for."""
    with pytest.raises(InvalidRequest, match="need an egress profile by name"):
        choose_with_secrets(asked, rules=[])
