"""JSON that carries host paths of any bytes."""

from __future__ import annotations

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.model.jsontext import decode_json, encode_json


class Place(msgspec.Struct, frozen=True):
    path: str
    number: int = 0


@given(st.binary(max_size=40))
def test_any_path_survives(name: bytes) -> None:
    place = Place(os.fsdecode(name))
    assert decode_json(encode_json(place), Place) == place


@pytest.mark.parametrize("text", [b"", b"{", b'{"path": 1}', b'{"path": "\\udce9"', b"\xff"])
def test_other_texts_are_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_json(text, Place)
