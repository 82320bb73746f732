"""Names and ids: their syntax, and how a reference finds its object. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NewType

from banger.errors import InvalidRequest

VmId = NewType("VmId", str)
OperationId = NewType("OperationId", str)

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
ID_BYTES = 6
"""A VM id is this many random bytes in lower-case hex."""

CHECK_NAME, CHECK_ADDRESS = "check.banger.vm", "127.77.0.0"
"""Always in banger's DNS, and never a VM's: shows whether the host's resolver asks banger.

VMs have addresses that end with 1 to 254.
"""

_ADJECTIVES = (
    "able amber brave brisk calm clear cosy crisp dapper early fair fleet fresh gentle glad "
    "golden grand hardy happy keen kind lively lucky mellow merry misty modest neat nimble noble "
    "patient plain polite prime proud quick quiet ready royal silent silver simple smart snowy "
    "solid steady sunny swift tidy vivid warm wise witty young zesty"
).split()
_NOUNS = (
    "acorn alder badger beaver birch bison brook cedar cliff cloud comet coral crane dune eagle "
    "elm falcon fern finch fjord fox glade grove harbor hare hawk heron ibis island ivy jay lake "
    "lark linden lynx maple marten meadow mesa moose oak orca osprey otter owl pebble pine plover "
    "quail raven reef river robin sage seal sparrow spruce stork swan thrush tiger trout vale "
    "walrus willow wolf wren"
).split()


def parse_vm_name(untrusted_name: str) -> str:
    """Return the name if it is valid.

    Raises:
        InvalidRequest: the name does not match `[a-z0-9][a-z0-9-]{0,62}`.
    """
    if NAME.fullmatch(untrusted_name):
        return untrusted_name
    raise InvalidRequest(
        f"{untrusted_name!r} is not a valid name: "
        "lower-case letters, digits and hyphens, at most 63, not starting with a hyphen.",
        hint="--name calm-otter",
    )


def format_vm_id(random_bytes: bytes) -> VmId:
    """Return the id for `ID_BYTES` random bytes."""
    return VmId(random_bytes.hex())


def format_word_pair(number: int) -> str:
    """Return the word pair for a random number, such as `calm-otter`."""
    adjective = _ADJECTIVES[number % len(_ADJECTIVES)]
    return f"{adjective}-{_NOUNS[number // len(_ADJECTIVES) % len(_NOUNS)]}"


def find_matches(reference: str, known: Iterable[tuple[VmId, str]]) -> list[tuple[VmId, str]]:
    """Return the (id, name) pairs that match a reference: an exact name or id, else prefixes.

    An exact name wins over any prefix, so that naming a VM in full always works.
    """
    pairs = list(known)
    exact = [pair for pair in pairs if reference in pair]
    if exact or not reference:
        return exact[:1]
    return [p for p in pairs if p[0].startswith(reference) or p[1].startswith(reference)]
