"""Names as git writes them in a patch: plain, or quoted as in C. Pure."""

from __future__ import annotations

import re

_ESCAPES = {
    b"a": b"\a",
    b"b": b"\b",
    b"t": b"\t",
    b"n": b"\n",
    b"v": b"\v",
    b"f": b"\f",
    b"r": b"\r",
    b'"': b'"',
    b"\\": b"\\",
}
_QUOTED = re.compile(rb'"((?:[^"\\\x00-\x1f]|\\(?:[abtnvfr"\\]|[0-3][0-7]{2}))*)"')
_ESCAPE = re.compile(rb'\\([abtnvfr"\\]|[0-7]{3})')


def parse_name(untrusted_text: bytes) -> tuple[bytes, bytes] | None:
    """Return the quoted name at the start of a text, and the rest; None if there is none."""
    match = _QUOTED.match(untrusted_text)
    if match is None:
        return None
    name = _ESCAPE.sub(lambda escape: _unescape(escape[1]), match[1])
    return name, untrusted_text[match.end() :]


def parse_whole_name(untrusted_text: bytes) -> bytes | None:
    """Return the name that a text consists of, quoted or plain; None if it is malformed."""
    if not untrusted_text.startswith(b'"'):
        return untrusted_text or None
    parsed = parse_name(untrusted_text)
    return parsed[0] if parsed and not parsed[1] else None


def parse_pair(untrusted_text: bytes, first_length: int | None) -> tuple[bytes, bytes] | None:
    """Return the two names of `NAME NAME`, the rest of a `diff --git` line; None if malformed.

    Plain names may hold spaces. Which space is between the names follows from the
    length of the first one, known from other lines, or (None) from both being
    equally long.
    """
    quoted = parse_name(untrusted_text)
    if quoted is not None:
        first, rest = quoted
    else:
        at = untrusted_text.find(b' "')  # a name with a quote in it is never plain
        if at < 0:
            at = len(untrusted_text) // 2 if first_length is None else first_length
        first, rest = untrusted_text[:at], untrusted_text[at:]
    second = parse_whole_name(rest[1:]) if rest.startswith(b" ") else None
    return None if second is None or not first else (first, second)


def _unescape(code: bytes) -> bytes:
    return _ESCAPES[code] if code in _ESCAPES else bytes((int(code, 8),))
