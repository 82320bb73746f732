"""Parse a registry's challenge, the WWW-Authenticate header. Pure.

RFC 9110, section 11: a scheme, then parameters. One header may hold several challenges, and there
may be several headers. Bearer is preferred: its token is good for this repository only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

HEADER_LENGTH_MAX = 8192

_ITEM = re.compile(
    r"""\s*(?:,\s*)*(?:
        (?P<key>[A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*
            (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]*))
        |(?P<scheme>[A-Za-z0-9!#$%&'*+.^_`|~-]+)(?=\s|,|$)
    )""",
    re.VERBOSE,
)


class Challenge(Struct, frozen=True, kw_only=True):
    """One way to authenticate."""

    scheme: str
    """In lower case: `bearer`, `basic`."""
    parameters: dict[str, str]


def parse_challenges(untrusted_headers: Sequence[str]) -> list[Challenge]:
    """Return all challenges; what cannot be read ends its header."""
    return [
        challenge
        for header in untrusted_headers
        for challenge in _parse_header(header[:HEADER_LENGTH_MAX])
    ]


def choose_challenge(challenges: Sequence[Challenge]) -> Challenge | None:
    """Return the one that we answer, or None if there is none that we can."""
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme:
                return challenge
    return None


def _parse_header(untrusted: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = 0
    while match := _ITEM.match(untrusted, position):
        position = match.end()
        if match["scheme"]:
            found.append(Challenge(scheme=match["scheme"].lower(), parameters={}))
        elif found:
            quoted = match["quoted"]
            value = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1].parameters.setdefault(match["key"].lower(), value)
    return found
