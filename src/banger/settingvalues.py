"""Parsers of settings' values: each returns the value, or raises ValueError.

The error's text says what was expected. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from banger.durations import parse_duration
from banger.sizes import parse_size_mib

_SWITCHES = {"on": True, "off": False, "true": True, "false": False}


def one_of(*allowed: str) -> Callable[[object], str]:
    """Return a parser that accepts only the allowed texts."""

    def parse(untrusted_value: object) -> str:
        if untrusted_value in allowed:
            return str(untrusted_value)
        raise ValueError("one of " + ", ".join(allowed))

    return parse


def text(untrusted_value: object) -> str:
    """Parse a text that is not empty."""
    if isinstance(untrusted_value, str) and untrusted_value:
        return untrusted_value
    raise ValueError("a text")


def any_text(untrusted_value: object) -> str:
    """Parse a text."""
    if isinstance(untrusted_value, str):
        return untrusted_value
    raise ValueError("a text")


def whole_number(allowed: range) -> Callable[[object], int]:
    """Return a parser of whole numbers, also given as a string of digits."""

    def parse(untrusted_value: object) -> int:
        expected = f"a whole number from {allowed.start} to {allowed.stop - 1}"
        number = None
        if type(untrusted_value) is int:
            number = untrusted_value
        elif isinstance(untrusted_value, str) and re.fullmatch(r"[0-9]{1,9}", untrusted_value):
            number = int(untrusted_value)
        if number not in allowed:
            raise ValueError(expected)
        assert number is not None
        return number

    return parse


def duration_or_off(untrusted_value: object) -> str:
    """Parse a duration, or `off`; return the text as written."""
    if untrusted_value == "off" or (
        isinstance(untrusted_value, str) and parse_duration(untrusted_value) is not None
    ):
        return str(untrusted_value)
    raise ValueError("a duration such as 30m or 2h, or off")


def size(allowed: range, *, unit_mib: int) -> Callable[[object], int]:
    """Return a parser of sizes: a number of units, or a text such as `2G`, as in options."""
    number = whole_number(allowed)

    def parse(untrusted_value: object) -> int:
        size_mib = None
        if isinstance(untrusted_value, str) and not untrusted_value.isdecimal():
            size_mib = parse_size_mib(untrusted_value)
        if size_mib is None or size_mib % unit_mib:
            return number(untrusted_value)
        return number(size_mib // unit_mib)

    return parse


def switch(untrusted_value: object) -> bool:
    """Parse a TOML boolean, or a word from an environment variable."""
    if isinstance(untrusted_value, bool):
        return untrusted_value
    if isinstance(untrusted_value, str) and untrusted_value in _SWITCHES:
        return _SWITCHES[untrusted_value]
    raise ValueError("true or false")
