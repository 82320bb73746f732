"""The targets that the egress profile `registries` allows (presets.toml)."""

from __future__ import annotations

import functools
from pathlib import Path

from banger.model.egress import Egress, Profile, Rule, parse_rule

FILE = Path(__file__).with_name("presets.toml")


def list_rules(egress: Egress) -> list[Rule]:
    """Return the rules of a policy, parsed, with those of its profile after its own."""
    rules = [parse_rule(rule) for rule in egress.rules]
    return rules + list(_load()) if egress.profile is Profile.REGISTRIES else rules


@functools.cache
def _load() -> tuple[Rule, ...]:
    import tomllib

    kinds = tomllib.loads(FILE.read_text("utf-8")).values()
    targets = (target for kind in kinds for targets in kind.values() for target in targets)
    return tuple(parse_rule(f"allow {target}") for target in targets)
