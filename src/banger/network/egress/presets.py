"""Targets of egress rules under names of ours (presets.toml): `@python`, `@packages`.

All of them are what the egress profile `registries` allows.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

from banger.errors import InvalidRequest
from banger.model.egress import Egress, Profile, Rule, parse_rule

FILE = Path(__file__).with_name("presets.toml")


def list_rules(egress: Egress) -> list[Rule]:
    """Return the rules of a policy, parsed, with those of its profile after its own.

    Raises:
        InvalidRequest: there is no preset of that name.
    """
    rules = [each for rule in egress.rules for each in _expand(rule)]
    if egress.profile is Profile.REGISTRIES:
        kinds = tuple(_load())
        rules += [each for kind in kinds for each in _expand(f"allow @{kind}")]
    return rules


def _expand(text: str) -> Iterator[Rule]:
    rule = parse_rule(text)
    if rule.preset is None:
        yield rule
        return
    verdict, presets = text.partition(" ")[0], _load_presets()
    if rule.preset not in presets:
        known = " ".join(f"@{name}" for name in sorted(presets))
        raise InvalidRequest(
            f"There is no preset @{rule.preset}; there are {known}.", hint="--allow @python"
        )
    for target in presets[rule.preset]:
        yield parse_rule(f"{verdict} {target}")


@functools.cache
def _load_presets() -> Mapping[str, tuple[str, ...]]:
    """Return the targets of each kind, and of each name, whatever its kinds."""
    presets: dict[str, tuple[str, ...]] = {}
    for kind, names in _load().items():
        for name, targets in names.items():
            presets[name] = (*presets.get(name, ()), *targets)
            presets[kind] = (*presets.get(kind, ()), *targets)
    return presets


@functools.cache
def _load() -> Mapping[str, Mapping[str, list[str]]]:
    import tomllib

    return tomllib.loads(FILE.read_text("utf-8"))
