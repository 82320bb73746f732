"""F1: layers that were damaged by chance give a root or a typed error, and nothing else.

BANGER_TEST_FUZZ_ROUNDS=100000 goes deeper; a failure names the round, which is its seed.
"""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest
import zstandard

from banger.errors import ImageInvalid, ImageUnsupported
from tests.support.tars import Member, directory, hard_link, make_tar, mend_checksums, symlink
from tests.unit.images.layers.merging import merge, read

ROUNDS = int(os.environ.get("BANGER_TEST_FUZZ_ROUNDS", "600"))
LOWER = make_tar(Member("d/a", b"1" * 600), symlink("l", "../d"), Member("e/f"))
UPPER = make_tar(
    Member("d/.wh.a"),
    Member("l/" + "n" * 150, b"2", xattrs={"user.a": b"\0\xff"}),
    hard_link("h", "d/a"),
    directory("e", 0o1777, uid=3_000_000_000),
    Member("e/.wh..wh..opq"),
    Member("\udcff", pax={"mtime": "5.5"}),
)
PIECES = (b"\0", b"/", b"..", b".wh.", b"\xff", b"7", b"=", b" ", b"\n", b"path=")


def damage(content: bytes, chance: random.Random) -> bytes:
    """Return the bytes with a few changes; half of the time headers get their checksums back."""
    changed = bytearray(content)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(changed) or 1)
        changed += b"\0" * (not changed)
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                piece = chance.choice(PIECES)
                changed[at : at + len(piece)] = piece
            case 2:
                del changed[at : at + chance.choice((1, 512))]
            case _:
                changed[at:at] = changed[at : at + chance.choice((1, 512, 1024))]
    return mend_checksums(bytes(changed)) if chance.random() < 0.5 else bytes(changed)


@pytest.mark.timeout(120 + ROUNDS // 20)
def test_damaged_layers(tmp_path: Path) -> None:
    roots = 0
    for number in range(ROUNDS):
        chance = random.Random(number)
        layer = damage(UPPER, chance)
        pack = chance.choice((bytes, bytes, gzip.compress, zstandard.compress))
        packed = pack(layer)
        if pack is not bytes and chance.random() < 0.5:
            packed = damage(packed, chance)
        try:
            merged = merge(tmp_path, LOWER, packed, diff_ids=[None, None])
        except (ImageInvalid, ImageUnsupported):
            continue
        except BaseException as error:
            error.add_note(f"round {number}")
            raise
        roots += 1
        for name in read(merged):
            assert not name.startswith(b"/") and b".." not in name.split(b"/"), number
            assert not any(part.startswith(b".wh.") for part in name.split(b"/")), number
    assert 0 < roots < ROUNDS
