"""Lanes: each keeps its share, and whoever waits follows in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.guest.admission import Admission, Lane, Ticket, lane_of, plan_shares
from banger.guest.codec import STREAMS_LEAST, STREAMS_MAX, Kind

SHARES = {Lane.CONTROL: 1, Lane.COMMANDS: 2, Lane.CONNECTIONS: 3}


@given(st.integers(STREAMS_LEAST, STREAMS_MAX))
def test_the_shares_use_every_stream_and_starve_no_lane(streams: int) -> None:
    shares = plan_shares(streams)
    assert sum(shares.values()) == streams
    assert min(shares.values()) >= 8


def test_the_shares_of_both_versions() -> None:
    assert list(plan_shares(2048).values()) == [128, 720, 1200]
    assert list(plan_shares(64).values()) == [8, 21, 35]


def test_what_watches_and_flushes_is_in_no_lane_of_the_user() -> None:
    """A guest full of forwards and commands is still flushed, watched and powered off (A1)."""
    own = {kind for kind in Kind if lane_of(kind) is Lane.CONTROL}
    assert own >= {Kind.PING, Kind.SYNC, Kind.POWEROFF, Kind.IDENTITY, Kind.LISTENERS}
    assert lane_of(Kind.EXEC) is Lane.COMMANDS
    assert {lane_of(kind) for kind in (Kind.CONNECT, Kind.ACCEPT, Kind.UDP)} == {Lane.CONNECTIONS}


@given(st.lists(st.tuples(st.sampled_from(Lane), st.integers(0, 20))))
def test_any_course_of_events(course: list[tuple[Lane, int]]) -> None:
    """0: one more joins; else: one of those that are there leaves, waiting or not."""
    admission = Admission(SHARES)
    inside: dict[Lane, list[Ticket]] = {lane: [] for lane in Lane}
    waiting: dict[Lane, list[Ticket]] = {lane: [] for lane in Lane}
    for lane, choice in course:
        both = inside[lane] + waiting[lane]
        if choice == 0 or not both:
            ticket = admission.join(lane)
            (inside if ticket.is_admitted else waiting)[lane].append(ticket)
        else:
            leaving = both[choice % len(both)]
            was_inside = leaving.is_admitted
            (inside if was_inside else waiting)[lane].remove(leaving)
            following = admission.leave(leaving)
            expected = waiting[lane][0] if was_inside and waiting[lane] else None
            assert following is expected
            if following is not None:
                waiting[lane].remove(following)
                inside[lane].append(following)
        assert all(ticket.is_admitted for ticket in inside[lane])
        assert not any(ticket.is_admitted for ticket in waiting[lane])
        assert len(inside[lane]) <= SHARES[lane]
        assert not waiting[lane] or len(inside[lane]) == SHARES[lane]


def test_a_ticket_is_given_back_once() -> None:
    admission = Admission(SHARES)
    admission.join(Lane.CONTROL)
    waiting = admission.join(Lane.CONTROL)
    admission.leave(waiting)
    with pytest.raises(KeyError):
        admission.leave(waiting)
