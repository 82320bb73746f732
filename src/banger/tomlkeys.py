"""A TOML file that people write: known keys, strict values, and the line of each fault. Pure.

Hazard F6: a fault is one sentence with the file, the key and the line, and a key that is not known
has a near match. The texts may be foreign: a repository has one (`banger.project`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from banger.errors import ConfigInvalid
from banger.nearnames import format_near_hint

V = TypeVar("V")
SHOWN_MAX = 200
"""Characters of a faulty value or key that a message shows."""
NAMES_MAX = 100
"""Names of a dotted key. tomllib takes a time that grows with their square: 7 s for 20,000."""
_NAME = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_TOO_MANY_NAMES = re.compile(rf"(?<![^\s\[{{,]){_NAME}(?:[ \t]*+\.[ \t]*+{_NAME}){{{NAMES_MAX}}}")


def parse_keys(
    untrusted_text: str,
    parsers: Mapping[str, Callable[[object], V]],
    *,
    where: str,
    noun: str,
    see: str,
) -> dict[str, V]:
    """Return the values in a text, by dotted key.

    A parser returns the value, or raises ValueError whose text says what was expected. `noun`: what
    a key is; `see`: the command that shows all of them.

    Raises:
        ConfigInvalid: with `where`, the key and its line.
    """
    values: dict[str, V] = {}
    for key, untrusted_value in _flatten(parse_document(untrusted_text, where), parsers):
        line = _find_line(untrusted_text, key)
        parse = parsers.get(key)
        if parse is None:
            raise ConfigInvalid(
                f"{where}, line {line}: there is no {noun} {key:.{SHOWN_MAX}}.",
                hint=format_near_hint(key, parsers, see=see),
            )
        try:
            values[key] = parse(untrusted_value)
        except ValueError as error:
            raise ConfigInvalid(
                f"{where}, line {line}: {key} is {_show(untrusted_value)}, expected {error}."
            ) from None
    return values


def parse_document(untrusted_text: str, where: str) -> dict[str, Any]:
    """Return a TOML document.

    Raises:
        ConfigInvalid: it is none, or is nested too deep.
    """
    try:
        return load_document(untrusted_text)
    except RecursionError as error:
        raise ConfigInvalid(f"{where} is nested too deep.") from error
    except ValueError as error:  # also a number with more digits than Python takes
        raise ConfigInvalid(f"{where} is not valid TOML: {error}.") from error


def load_document(untrusted_text: str) -> dict[str, Any]:
    """Return a TOML document, in a time that grows with its size alone.

    Raises:
        ValueError: it is none.
        RecursionError: it is nested too deep, or a key has more than `NAMES_MAX` names.
    """
    if _TOO_MANY_NAMES.search(untrusted_text):
        raise RecursionError(f"a key has more than {NAMES_MAX} names")
    return tomllib.loads(untrusted_text)


def _show(untrusted_value: object) -> str:
    try:
        return f"{untrusted_value!r:.{SHOWN_MAX}}"
    except (ValueError, RecursionError):  # a hexadecimal number may have any number of digits
        return "too large to show"


def _flatten(
    table: Mapping[str, object], known: Mapping[str, object], prefix: str = ""
) -> Iterator[tuple[str, object]]:
    """Yield (dotted key, value); a table is a value unless known keys are in it."""
    for name, value in table.items():
        # A quoted name with a dot is another than the dotted key.
        key = prefix + (f'"{name}"' if "." in name else name)
        is_group = any(each.startswith(f"{key}.") for each in known)
        if isinstance(value, dict) and is_group and key not in known:
            yield from _flatten(value, known, f"{key}.")
        else:
            yield key, value


def _find_line(text: str, key: str) -> int:
    """Return the line on which `key` is set; tomllib does not tell. 1 if it is not found.

    The key may be a table of its own.
    """
    table, _, name = key.rpartition(".")
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\[?([^\[\]]+)\]", line):
            current = header[1].strip()
            if current == key or current.startswith(f"{key}."):
                return number
        left = line.partition("=")[0].strip().strip("\"'")
        if (current == table and left == name) or (not current and left == key):
            return number
    return 1
