"""DNS queries and answers as bytes (RFC 1035, section 4; EDNS: RFC 6891). Pure.

Strict: what a resolver never sends is refused. A query is a header, one question whose name is not
compressed, and at most `ADDITIONAL_MAX` further records, of which OPT alone is read. Whatever
comes, it is read once, from front to back, and no name is longer than 255 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

QUERY_MAX = 4096
"""Bytes of a query; a resolver's has less than 512."""
NAME_MAX, LABEL_MAX = 255, 63
ADDITIONAL_MAX = 4
UDP_SIZE = 1232
"""Bytes of a datagram that the server announces; each of its answers has less than 512."""

_HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!2H")
_RECORD = struct.Struct("!2HIH")
_POINTER_TO_QUESTION = b"\xc0\x0c"
IN, ANY_CLASS = 1, 255

_IS_ANSWER, _AUTHORITATIVE, _RECURSION_DESIRED = 0x8000, 0x0400, 0x0100
_OPT = 41


class Type(IntEnum):
    """The types of records that the server has; queries may name any other."""

    A = 1
    SOA = 6
    PTR = 12
    AAAA = 28
    ANY = 255


class Code(IntEnum):
    """How an answer ends (RFC 1035, section 4.1.1; BADVERS: RFC 6891, section 9)."""

    NO_ERROR = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NAME_ERROR = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5
    BAD_VERSION = 16


Name = tuple[bytes, ...]
"""Labels, the first one first."""


@dataclass(frozen=True)
class Query:
    """A question."""

    number: int
    """By which the client knows the answer."""
    flags: int
    question: bytes
    """As it came, upper and lower case: a client may check that it comes back."""
    name: Name
    """In lower case."""
    type: int
    class_: int
    has_edns: bool
    edns_version: int = 0


class BadQuery(Exception):
    """What came is no query. `answer`: what is said to that; None: nothing at all."""

    def __init__(self, answer: bytes | None) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True)
class Record:
    """A record of an answer, about the name of the question unless `owner` is another."""

    type: Type
    ttl_s: int
    data: bytes
    owner: Name | None = None


@dataclass(frozen=True)
class Answer:
    """What is said to a query."""

    code: Code
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    is_authoritative: bool = field(default=True)


def parse_query(untrusted_data: bytes) -> Query:
    """Return the query in a message.

    Raises:
        BadQuery: it is an answer, or not valid.
    """
    if not _HEADER.size <= len(untrusted_data) <= QUERY_MAX:
        raise BadQuery(None)
    number, flags = _HEADER.unpack_from(untrusted_data)[:2]
    if flags & _IS_ANSWER:
        raise BadQuery(None)  # two servers must not talk to each other for ever
    if flags >> 11 & 15:
        raise BadQuery(_render_bare(number, flags, Code.NOT_IMPLEMENTED))
    try:
        return _parse_body(untrusted_data)
    except (ValueError, IndexError, struct.error) as error:
        raise BadQuery(_render_bare(number, flags, Code.FORMAT_ERROR)) from error


def _parse_body(data: bytes) -> Query:
    """Return the query in a message with a valid header; ValueError and others: it is none."""
    number, flags, questions, answers, authority, additional = _HEADER.unpack_from(data)
    if (questions, answers, authority) != (1, 0, 0) or additional > ADDITIONAL_MAX:
        raise ValueError
    name, end = _parse_name(data, _HEADER.size)
    type_, class_ = _QUESTION.unpack_from(data, end)
    end += _QUESTION.size
    version = _find_edns(data, end, additional)
    question = data[_HEADER.size : end]
    return Query(
        number, flags, question, name, type_, class_, version is not None, edns_version=version or 0
    )


def _parse_name(data: bytes, start: int) -> tuple[Name, int]:
    """Return the labels of a name and where it ends; ValueError or IndexError if it is none."""
    labels, at = [], start
    while size := data[at]:
        label = data[at + 1 : at + 1 + size]
        if size > LABEL_MAX or len(label) < size:
            raise ValueError
        labels.append(label.lower())
        at += 1 + size
        if at - start >= NAME_MAX:
            raise ValueError
    return tuple(labels), at + 1


def _find_edns(data: bytes, start: int, records: int) -> int | None:
    """Return the version of EDNS that a client speaks; None: none. ValueError: two, or rubbish."""
    versions, at = [], start
    for _ in range(records):
        name, at = _parse_name(data, at)
        type_, _, ttl, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size + size
        if at > len(data):
            raise ValueError
        if type_ == _OPT:
            if name:
                raise ValueError
            versions.append(ttl >> 16 & 255)
    if at != len(data) or len(versions) > 1:
        raise ValueError
    return versions[0] if versions else None


def render_answer(query: Query, answer: Answer) -> bytes:
    """Return an answer as bytes."""
    flags = _IS_ANSWER | query.flags & _RECURSION_DESIRED | answer.code & 15
    if answer.is_authoritative:
        flags |= _AUTHORITATIVE
    records = [*answer.answers, *answer.authority]
    counts = (1, len(answer.answers), len(answer.authority), int(query.has_edns))
    parts = [_HEADER.pack(query.number, flags, *counts), query.question]
    parts += [_render_record(record) for record in records]
    if query.has_edns:
        parts.append(b"\x00" + _RECORD.pack(_OPT, UDP_SIZE, answer.code >> 4 << 24, 0))
    return b"".join(parts)


def _render_record(record: Record) -> bytes:
    owner = _POINTER_TO_QUESTION if record.owner is None else render_name(record.owner)
    return owner + _RECORD.pack(record.type, IN, record.ttl_s, len(record.data)) + record.data


def render_name(labels: Iterable[bytes]) -> bytes:
    """Return a name as bytes."""
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\x00"


def _render_bare(number: int, flags: int, code: Code) -> bytes:
    kept = flags & (_RECURSION_DESIRED | 0x7800)
    return _HEADER.pack(number, _IS_ANSWER | kept | code, 0, 0, 0, 0)
