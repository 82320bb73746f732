"""What registries say in headers: challenges and Retry-After."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.images.registry.challenge import Challenge, choose_challenge, parse_challenges
from banger.images.registry.retries import TRIES, parse_retry_after, plan_delay


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        (
            'Bearer realm="https://a/t?x=1,2",service="s s",scope="repository:a/b:pull,push"',
            [
                Challenge(
                    scheme="bearer",
                    parameters={
                        "realm": "https://a/t?x=1,2",
                        "service": "s s",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ("basic", [Challenge(scheme="basic", parameters={})]),
        (
            'Basic realm=plain, Bearer Realm = "a\\"b"',
            [
                Challenge(scheme="basic", parameters={"realm": "plain"}),
                Challenge(scheme="bearer", parameters={"realm": 'a"b'}),
            ],
        ),
        ("Negotiate, Basic", [Challenge(scheme=s, parameters={}) for s in ("negotiate", "basic")]),
        ("", []),
        ("realm=x", []),
        ('Bearer realm="open', [Challenge(scheme="bearer", parameters={"realm": ""})]),
    ],
)
def test_challenges_are_read(header: str, challenges: list[Challenge]) -> None:
    assert parse_challenges([header]) == challenges


def test_bearer_is_preferred() -> None:
    chosen = choose_challenge(parse_challenges(["Basic realm=a", "Negotiate, Bearer realm=b"]))
    assert chosen == Challenge(scheme="bearer", parameters={"realm": "b"})
    assert choose_challenge(parse_challenges(["Negotiate"])) is None


@given(st.text(alphabet='aB=", \\\x00é', max_size=60))
def test_any_header_is_read_to_its_end(untrusted: str) -> None:
    """F5."""
    assert isinstance(parse_challenges([untrusted]), list)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 120 ", 120.0),
        ("9" * 400, 999999999.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("-1", None),
        ("soon", None),
        ("\u0661", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, now=40.0) == seconds


def test_delays_grow_and_end() -> None:
    """F5."""
    assert [plan_delay(n, None) for n in range(1, TRIES + 1)] == [0.5, 1.0, 2.0, 4.0, None]
    assert plan_delay(1, 30.0) == 30.0
    assert plan_delay(1, 1000.0) is None
