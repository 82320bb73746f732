"""Names and references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import InvalidRequest
from banger.model.names import NAME, VmId, find_matches, format_vm_id, format_word_pair
from banger.model.names import parse_vm_name as parse

KNOWN = [
    (VmId("aa11bb22cc33"), "calm-otter"),
    (VmId("aa99bb22cc33"), "calm"),
    (VmId("0123456789ab"), "aa"),
]


@pytest.mark.parametrize("name", ["a", "7", "calm-otter", "a" * 63, "a-"])
def test_a_valid_name_is_kept(name: str) -> None:
    assert parse(name) == name


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a" * 64, "a b", "ä", "a\n", "../a", "a."])
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        parse(name)


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_every_word_pair_is_a_valid_name(number: int) -> None:
    assert NAME.fullmatch(format_word_pair(number))


def test_an_id_is_hex() -> None:
    assert format_vm_id(b"\x00\xff\x10\x20\x30\x40") == "00ff10203040"


def test_an_exact_name_wins_over_prefixes() -> None:
    assert find_matches("calm", KNOWN) == [KNOWN[1]]
    assert find_matches("aa", KNOWN) == [KNOWN[2]]


def test_a_prefix_of_a_name_or_an_id_finds_its_vm() -> None:
    assert find_matches("calm-", KNOWN) == [KNOWN[0]]
    assert find_matches("aa9", KNOWN) == [KNOWN[1]]


def test_an_ambiguous_prefix_gives_every_candidate() -> None:
    assert find_matches("cal", KNOWN) == KNOWN[:2]


@pytest.mark.parametrize("reference", ["", "x", "calm-otters"])
def test_nothing_matches(reference: str) -> None:
    assert find_matches(reference, KNOWN) == []


@given(st.text(max_size=20))
def test_whatever_is_typed_gives_known_pairs_only(reference: str) -> None:
    assert set(find_matches(reference, KNOWN)) <= set(KNOWN)
