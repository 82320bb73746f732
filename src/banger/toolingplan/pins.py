"""Pins: a tool and a version, as a file of the repository names them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LATEST = "latest"
SHOWN_MAX = 60
LINES_MAX = 2000
"""Of a file of lines; the rest is not looked at."""

_TOOL = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,63}")
_NUMBER = re.compile(r"v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,3}(?:-[0-9A-Za-z.-]{1,40})?)")
_BOUND = re.compile(r"(\^|~>|~=|~|>=|<=|==|=|>|<|!=)?\s*v?([0-9]{1,9}(?:\.(?:[0-9]{1,9}|[xX*]))*)")
_ALIASES = {"nodejs": "node", "golang": "go"}
"""Names of asdf's plugins for what mise and we call otherwise."""
_FLOATING = ("^", ">=", ">")


@dataclass(frozen=True)
class Pin:
    """A tool and its version; `version` may be a part of one (`20`), or a channel (`stable`)."""

    tool: str
    version: str


@dataclass(frozen=True)
class Problem:
    """What a file says and is not taken."""

    text: str


Found = Pin | Problem


def make_pin(untrusted_tool: str, untrusted_version: str) -> Found:
    """Return a pin, if both are what they should be."""
    tool = _ALIASES.get(untrusted_tool, untrusted_tool)
    if not _TOOL.fullmatch(tool):
        return Problem(f"{show(untrusted_tool)} is not the name of a tool.")
    if not _VERSION.fullmatch(untrusted_version):
        return Problem(f"{show(untrusted_version)} is not a version of {tool}.")
    number = _NUMBER.fullmatch(untrusted_version)
    return Pin(tool, number[1] if number else untrusted_version)


def pin_range(tool: str, untrusted_range: str) -> Found:
    """Return the pin that fits a range such as `^18.2`, `>=18 <21` or `18.x || 20.x`.

    Of alternatives the last is taken, and of a range its lower end, as far as the range lets later
    parts differ: `^18.2` and `>=18.2` give `18`, `~18.2.1` gives `18.2`.
    """
    last = untrusted_range.rpartition("||")[2].strip()
    if last in ("*", "x", LATEST):
        return Pin(tool, LATEST)
    found = _BOUND.match(last)
    if found is None or found[1] in ("<", "<=", "!="):
        return Problem(f"{show(untrusted_range)} does not name a lowest version of {tool}.")
    parts = [part for part in found[2].split(".") if part.isdecimal()]
    kept = _count_kept(found[1], parts)
    return make_pin(tool, ".".join(parts[:kept]))


def _count_kept(operator: str | None, parts: list[str]) -> int:
    """Return how many parts of a lower end are of the version to install."""
    if operator in _FLOATING:
        # What is below 1 has its breaking changes in the second part; so has Python in 3.
        return 2 if parts[0] in ("0", "3") else 1
    if operator in ("~", "~>", "~="):
        return max(1, len(parts) - 1) if len(parts) > 2 else len(parts)
    return len(parts)


def iterate_lines(untrusted_text: str) -> Iterator[str]:
    """Yield the lines without comments, blanks at their ends, and empty ones."""
    for line in untrusted_text.splitlines()[:LINES_MAX]:
        if stripped := line.partition("#")[0].strip():
            yield stripped


def first(found: Iterable[Found]) -> tuple[Found, ...]:
    """Return the first alone, or nothing."""
    return tuple(found)[:1]


def show(untrusted_text: str) -> str:
    """Return a text as a message may show it."""
    return repr(untrusted_text if len(untrusted_text) <= SHOWN_MAX else untrusted_text[:SHOWN_MAX])
