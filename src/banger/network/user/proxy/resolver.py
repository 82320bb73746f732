"""What the guest's nameserver answers: a synthetic address for each name that is allowed. Pure.

Nothing is asked of anybody for an answer, so that no query carries data out (E4). Of names that
are allowed there are addresses of IPv4 alone: no HTTPS or SVCB record, by which a client would
learn of keys to encrypt its hello. The others do not exist.
"""

from __future__ import annotations

import re

from banger.network.dnswire import (
    ANY_CLASS,
    IN,
    Answer,
    Code,
    Query,
    Record,
    Type,
    render_name,
)
from banger.network.user.proxy.names import Names
from banger.network.user.proxy.policy import Policy

TTL_S = 5
"""A fork's proxy does not know of names under wildcards until its guest asks again."""
_HOST_NAME = re.compile(rb"[a-z0-9_-]{1,63}")
_SOA = render_name((b"localhost",)) * 2 + b"".join(
    number.to_bytes(4, "big") for number in (1, 3600, 600, 86400, 1)
)


def read_name(query: Query) -> str | None:
    """Return the name that a query is for, in lower case; None: none that a host has."""
    if not query.name or not all(_HOST_NAME.fullmatch(label) for label in query.name):
        return None
    return b".".join(query.name).decode("ascii")


def answer_query(query: Query, policy: Policy, names: Names) -> Answer:
    """Return the answer to a query."""
    if query.edns_version != 0:
        return Answer(Code.BAD_VERSION)
    if query.class_ not in (IN, ANY_CLASS):
        return Answer(Code.REFUSED, is_authoritative=False)
    name, soa = read_name(query), Record(Type.SOA, 1, _SOA, owner=())
    if name is None or not policy.resolves(name):
        return Answer(Code.NAME_ERROR, authority=(soa,))
    if query.type not in (Type.A, Type.ANY):
        return Answer(Code.NO_ERROR, authority=(soa,))
    address = names.give_address(name)
    if address is None:
        return Answer(Code.SERVER_FAILURE)
    return Answer(Code.NO_ERROR, (Record(Type.A, TTL_S, address.packed),))
