"""Records of processes: what an agent sends comes back, everything else is one typed error (E2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import GuestProtocolError
from banger.guest.processes import (
    COMMAND_BYTES_MAX,
    RECORD,
    USER_BYTES_MAX,
    ListedProcess,
    parse_processes,
)

TEXTS = st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=9)), max_size=6)


def record(command: bytes, user: bytes, *, lengths: tuple[int, int] | None = None) -> bytes:
    sizes = lengths or (len(command), len(user))
    return RECORD.pack(*sizes, 7, 1, 1000, b"S", 1, 0, 2_000_000_000, 3, 4096) + command + user


@given(TEXTS, st.integers(1, 60))
def test_processes_come_back_whatever_the_chunks(
    texts: list[tuple[bytes, bytes]], step: int
) -> None:
    raw = b"".join(record(*each) for each in texts)
    found: list[ListedProcess] = []
    rest = b""
    for start in range(0, len(raw), step):
        more, rest = parse_processes(rest + raw[start : start + step])
        found += more
    assert rest == b""
    assert [(each.command, each.user) for each in found] == texts
    for each in found:
        assert (each.pid, each.parent, each.uid, each.state) == (7, 1, 1000, "S")
        assert (each.is_of_kernel, each.cpu_ns, each.age_ns) == (True, 2_000_000_000, 3)


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_or_refused(untrusted: bytes) -> None:
    """E2"""
    try:
        _, rest = parse_processes(untrusted)
    except GuestProtocolError:
        return
    assert untrusted.endswith(rest)


@pytest.mark.parametrize("lengths", [(COMMAND_BYTES_MAX + 1, 0), (0, USER_BYTES_MAX + 1)])
def test_a_length_that_is_out_of_range_is_refused(lengths: tuple[int, int]) -> None:
    """E2: at once, not when so many bytes have come."""
    with pytest.raises(GuestProtocolError, match="out of range"):
        parse_processes(record(b"", b"", lengths=lengths))
