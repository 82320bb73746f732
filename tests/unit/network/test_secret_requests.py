"""What of a request with a placeholder goes on, and what is refused. No sockets."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from banger.model.secrets import BoundSecret, Secret
from banger.network.user.proxy.denials import Refused
from banger.network.user.proxy.requests import Requests
from banger.network.user.proxy.secrets import Scan, Secrets
from banger.network.user.proxy.terminated import read_status

PLACEHOLDER, VALUE = b"placeholder-of-the-test", b"the value"
OTHER = b"placeholder-of-another"
HOST = "api.example"
SECRETS = Secrets(
    [
        BoundSecret(
            secret=Secret(name=name, value=value, hosts=(host,)), placeholder=placeholder.decode()
        )
        for name, value, host, placeholder in (
            ("A", VALUE.decode(), HOST, PLACEHOLDER),
            ("B", "another", "other.example", OTHER),
        )
    ]
)
GOOD = b"GET / HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer " + PLACEHOLDER + b"\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: api.example\r\n"


def feed(data: bytes, *, pieces: int = 1) -> bytes:
    requests, size = Requests(HOST, 443), -(-len(data) // pieces)
    return b"".join(
        requests.feed(data[at : at + size], SECRETS) for at in range(0, len(data), size)
    )


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_a_placeholder_in_its_header_becomes_the_value(pieces: int) -> None:
    """G6: of each request of the connection, in however many pieces they come."""
    assert feed(GOOD * 2, pieces=pieces) == GOOD.replace(PLACEHOLDER, VALUE) * 2


def test_a_placeholder_in_a_password_becomes_the_value() -> None:
    """G6: where the header is coded (RFC 7617)."""
    plain, filled = (base64.b64encode(b"user:" + each) for each in (PLACEHOLDER, VALUE))
    head = b"GET / HTTP/1.1\r\nHost: api.example\r\nAuthorization: Basic %b\r\n\r\n"
    assert feed(head % plain) == head % filled


@pytest.mark.parametrize("pieces", [1, 11, 1000])
def test_a_body_goes_on_as_it_came(pieces: int) -> None:
    """E4: of a length that is told, and in chunks, whose length is ours."""
    told = POST + b"Content-Length: 5\r\n\r\nhello"
    assert feed(told + GOOD, pieces=pieces) == told + GOOD.replace(PLACEHOLDER, VALUE)
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    written = feed(chunked + GOOD, pieces=pieces)
    assert written.endswith(b"0\r\n\r\n" + GOOD.replace(PLACEHOLDER, VALUE))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (GOOD.replace(b"GET /", b"GET /?key=" + PLACEHOLDER), "A is for"),
        (POST + b"X-Else: " + PLACEHOLDER + b"\r\n\r\n", "A is for"),
        (POST + b"X-" + PLACEHOLDER + b": 1\r\n\r\n", "A is for"),
        (POST + b"Content-Length: 23\r\n\r\n" + PLACEHOLDER, "A is for"),
        (
            POST + b"Transfer-Encoding: chunked\r\n\r\n17\r\n" + PLACEHOLDER + b"\r\n0\r\n\r\n",
            "A is for",
        ),
        (
            POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Else: " + PLACEHOLDER + b"\r\n\r\n",
            "A is for",
        ),
        (GOOD.replace(PLACEHOLDER, OTHER), "B is for"),
        (
            GOOD.replace(b"Bearer " + PLACEHOLDER, b"Basic " + base64.b64encode(b":" + OTHER)),
            "B is for",
        ),
        (GOOD.replace(b"Host: api", b"Host: other"), "HTTP for other.example"),
        (GOOD.replace(b"GET /", b"GET https://other.example/"), "without a host, or with two"),
        (GOOD.replace(b"GET /", b"CONNECT api.example:443"), "for a proxy"),
        (GOOD.replace(b"Host: ", b"Host: other.example\r\nHost: "), "not HTTP"),
        # Some servers would take its end for the beginning of another.
        (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "two lengths"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not HTTP"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 1000])
def test_a_placeholder_in_another_place_is_refused(request_: bytes, why: str, pieces: int) -> None:
    """G6, E4: URL, other headers, bodies, trailers, other hosts; and requests to other servers."""
    with pytest.raises(Refused, match=why):
        feed(request_, pieces=pieces)


PARTS = st.sampled_from(
    [
        *(
            PLACEHOLDER,
            OTHER,
            b"GET / HTTP/1.1\r\n",
            b"POST /x HTTP/1.1\r\n",
            b"\r\n",
            b"0\r\n\r\n",
        ),
        *(b"Host: api.example\r\n", b"Host: other.example\r\n", b"Authorization: ", b"Basic "),
        *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Upgrade: x\r\n"),
        *(base64.b64encode(b"u:" + PLACEHOLDER), b"X-Else: ", b"3\r\nabc", b"\n", b"\0", b"GET "),
    ]
)


@given(st.lists(PARTS | st.binary(max_size=4), max_size=30), st.integers(1, 40))
@example([GOOD], 1)
def test_whatever_a_guest_sends_a_value_is_in_its_header_alone(
    parts: list[bytes], size: int
) -> None:
    """G6, E2: it is refused, or passed on; what was passed on before stays so."""
    requests, data, written = Requests(HOST, 443), b"".join(parts), b""
    with contextlib.suppress(Refused):
        for at in range(0, len(data), size):
            written += requests.feed(data[at : at + size], SECRETS)
            if requests.asks_upgrade:
                requests.answered(switched=False)
    for line in written.split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if VALUE in line or base64.b64encode(b"u:" + VALUE) in line:
            assert name.lower() in (b"authorization", b"x-api-key")
            assert PLACEHOLDER not in value


def test_a_placeholder_that_comes_in_pieces_is_found() -> None:
    """G6."""
    scan = Scan("api.example:80/tcp")
    for byte in b"xx" + PLACEHOLDER[:-1]:
        scan.feed(SECRETS, bytes([byte]))
    with pytest.raises(Refused, match="A is for"):
        scan.feed(SECRETS, PLACEHOLDER[-1:])


def test_after_another_protocol_was_agreed_on_bytes_pass_as_they_are() -> None:
    """E4: and not before; where the server did not agree requests follow."""
    upgrade = POST.replace(b"POST", b"GET") + b"Upgrade: shout\r\nConnection: upgrade\r\n\r\n"
    for switched, expected in ((True, GOOD + b"more"), (False, GOOD.replace(PLACEHOLDER, VALUE))):
        requests = Requests(HOST, 443)
        assert requests.feed(upgrade + GOOD, SECRETS) == upgrade
        assert requests.asks_upgrade
        requests.answered(switched=switched)
        assert requests.feed(b"more" if switched else b"", SECRETS) == expected


def test_the_status_of_an_answer_is_that_of_its_last_head() -> None:
    assert read_status(b"HTTP/1.1 101 Switching\r\n") is None
    assert read_status(b"HTTP/1.1 101 Switching\r\n\r\n") == 101
    assert read_status(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2") is None
    assert read_status(b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody") == 200
    assert read_status(b"nonsense\r\n\r\n") == 0
