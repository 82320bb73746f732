"""What is typed for sessions: keys that detach, signals, times."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.cli.app.values import past_time_s
from banger.cli.commands.session import signal_number
from banger.client.relay import EndKeys

KEYS = b"\x10\x11"


@given(st.lists(st.sampled_from([b"a", b"\x10", b"\x11"]), max_size=12), st.integers(1, 4))
def test_keys_are_found_however_they_are_read(typed: list[bytes], step: int) -> None:
    """Everything before the sequence goes to the program, nothing of it, and nothing behind it."""
    whole = b"".join(typed)
    keys, passed, was_typed = EndKeys(KEYS), b"", False
    for at in range(0, len(whole), step):
        data, was_typed = keys.filter(whole[at : at + step])
        passed += data
        assert keys.held_bytes <= 1
        if was_typed:
            break
    if not was_typed:
        passed += keys.filter(b"")[0]  # the end of what is typed
    assert was_typed == (KEYS in whole)
    assert passed == whole.partition(KEYS)[0]


def test_without_keys_everything_passes() -> None:
    keys = EndKeys(b"")
    assert keys.filter(KEYS) == (KEYS, False)
    assert keys.held_bytes == 0


@pytest.mark.parametrize(
    ("text", "number"), [("TERM", 15), ("sigterm", 15), ("15", 15), ("KILL", 9), ("64", 64)]
)
def test_signals(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "SIG", "TERMINATE", "_DFL", "²"])
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        signal_number(text)


def test_times() -> None:
    before = time.time()
    assert before - 601 < past_time_s("10m") < time.time() - 599
    assert past_time_s("1970-01-01T00:01:00Z") == 60
    assert past_time_s("2026-11-29T12:00") == datetime(2026, 11, 29, 12).astimezone().timestamp()
    assert past_time_s("99999999h") == 0


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "12:00"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        past_time_s(text)
