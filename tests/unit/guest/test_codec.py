"""Frames: any split, any mutation, any length (E2)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.errors import GuestProtocolError, InvalidRequest
from banger.guest import codec
from banger.guest.codec import Frame, FrameDecoder, FrameType, Kind
from banger.guest.fields import Tag, encode_fields, u64

NONCE = bytes(range(16))
HELLO_FIELDS = encode_fields(
    [(Tag.AGENT_VERSION, b"1"), (Tag.BOOT_ID, b"b"), (Tag.STATE, b"waiting"), (Tag.ARCH, b"x")]
)
HELLO = codec.encode_frame(
    FrameType.HELLO,
    stream=0,
    payload=codec.MAGIC + NONCE + struct.pack("<HH", 1, 0) + HELLO_FIELDS,
)

data_frames = st.builds(
    Frame,
    type=st.just(int(FrameType.DATA)),
    channel=st.integers(0, 255),
    stream=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=100) | st.integers(0, codec.MAX_PAYLOAD).map(bytes),
)
other_frames = st.builds(
    Frame,
    type=st.sampled_from([FrameType.EVENT, FrameType.RESULT, FrameType.ERROR]).map(int),
    channel=st.just(0),
    stream=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=60),
)
frame_lists = st.lists(data_frames | other_frames, max_size=8)


def encode(frames: Iterable[Frame]) -> bytes:
    return b"".join(
        codec.encode_frame(
            FrameType(each.type), stream=each.stream, channel=each.channel, payload=each.payload
        )
        for each in frames
    )


def feed(decoder: FrameDecoder, data: bytes, *, step: int = codec.BUFFER_BYTES) -> list[Frame]:
    """Give the bytes as receives of at most `step` bytes, as a socket would."""
    frames = []
    while data:
        space = decoder.space()
        size = min(len(space), step, len(data))
        assert size > 0
        space[:size] = data[:size]
        frames += [frame._replace(payload=bytes(frame.payload)) for frame in decoder.advance(size)]
        data = data[size:]
    return frames


@given(frame_lists, st.integers(1, 70_000))
def test_frames_survive_any_split(frames: list[Frame], step: int) -> None:
    assert feed(FrameDecoder(), encode(frames), step=step) == frames


@given(frame_lists, st.integers(0, 200_000))
def test_a_cut_stream_gives_whole_frames_only(frames: list[Frame], cut: int) -> None:
    data = encode(frames)[:cut]
    got = feed(FrameDecoder(), data)
    assert got == frames[: len(got)]
    assert len(encode(got)) <= len(data) < len(encode(frames[: len(got) + 1])) or got == frames


@given(st.binary(max_size=400), st.integers(1, 64))
@settings(max_examples=300)
def test_noise_is_refused_or_waited_for(noise: bytes, step: int) -> None:
    """E2: broken frames raise the one typed error and nothing else."""
    decoder = FrameDecoder()
    try:
        feed(decoder, noise, step=step)
    except GuestProtocolError:
        return
    assert len(decoder.space()) >= codec.MAX_FRAME


@given(frame_lists, st.data())
@settings(max_examples=300)
def test_a_mutated_stream_is_refused_or_read(frames: list[Frame], data: st.DataObject) -> None:
    mutated = bytearray(encode(frames))
    for _ in range(data.draw(st.integers(1, 3)) if mutated else 0):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] ^= data.draw(st.integers(1, 255))
    decoder = FrameDecoder()
    try:
        got = feed(decoder, bytes(mutated))
    except GuestProtocolError:
        return
    assert len(got) <= len(frames) + len(mutated) // 13


@pytest.mark.parametrize(
    "header",
    [
        (0, 0, 0, 0, 1, 0),
        (11, 0, 0, 0, 1, 0),
        (255, 0, 0, 0, 1, 0),
        (3, 0, 0, 1, 1, 0),
        (3, 0, 0, 0, 1, 32769),
        (3, 0, 0, 0, 1, 2**32 - 1),
        (7, 1, 0, 0, 1, 0),
    ],
)
def test_a_bad_header_is_refused_before_its_payload(header: tuple[int, ...]) -> None:
    """E2: a lying length does not make us wait for the bytes."""
    with pytest.raises(GuestProtocolError):
        feed(FrameDecoder(), struct.pack("<BBBBII", *header))


def test_flags_without_a_meaning_are_not_looked_at() -> None:
    head = struct.pack("<BBBBII", FrameType.RESULT, 0, 0x80, 0, 3, 0)
    assert feed(FrameDecoder(), head + b"\xe5") == [Frame(FrameType.RESULT, 0, 3, b"")]


def test_the_largest_frame_fits_and_needs_its_end_byte() -> None:
    largest = Frame(FrameType.DATA, 1, 7, b"x" * codec.MAX_PAYLOAD)
    assert feed(FrameDecoder(), encode([largest]), step=4096) == [largest]
    with pytest.raises(GuestProtocolError):
        feed(FrameDecoder(), encode([largest])[:-1] + b"\xe4")


@given(
    st.lists(
        st.sampled_from([HELLO.replace(NONCE, bytes(16)), HELLO[:-5], NONCE, codec.MAGIC + NONCE])
        | st.binary(max_size=50),
        max_size=12,
    ),
    frame_lists,
    st.integers(1, 5000),
)
def test_what_an_earlier_connection_left_is_skipped(
    stale: list[bytes], frames: list[Frame], step: int
) -> None:
    """D3: stale bytes, old HELLOs and halves of our own are no HELLO; after ours all counts."""
    if HELLO[:36] in (before := b"".join(stale)):
        return
    got = feed(FrameDecoder(NONCE), before + HELLO + encode(frames), step=step)
    assert got[0].type == FrameType.HELLO
    assert codec.parse_hello(got[0], nonce=NONCE).arch == "x"
    assert got[1:] == frames


def test_skipping_ends() -> None:
    """E2: a guest that never says HELLO is given up after 16 MiB."""
    decoder = FrameDecoder(NONCE)
    megabyte = bytes(1 << 20)
    for _ in range(16):
        assert feed(decoder, megabyte) == []
    with pytest.raises(GuestProtocolError, match="no HELLO"):
        feed(decoder, megabyte)


@given(st.binary(max_size=codec.MAX_PAYLOAD))
@settings(max_examples=200)
def test_any_hello_payload_is_parsed_or_refused(untrusted: bytes) -> None:
    starts = (codec.MAGIC + NONCE + bytes([version, 0, 0, 0]) for version in (1, 2))
    for payload in (untrusted, *(start + untrusted for start in starts)):
        try:
            hello = codec.parse_hello(Frame(FrameType.HELLO, 0, 0, payload), nonce=NONCE)
        except GuestProtocolError:
            continue
        assert hello.version in (1, 2)
        assert 64 <= hello.streams <= 2048


@pytest.mark.parametrize(
    ("version", "said", "used"), [(1, None, 64), (2, 64, 64), (2, 2048, 2048), (2, 2**63, 2048)]
)
def test_the_agent_says_how_many_streams_it_serves(
    version: int, said: int | None, used: int
) -> None:
    assert codec.parse_hello(hello_of(version, said), nonce=NONCE).streams == used


@pytest.mark.parametrize("said", [None, 0, 63])
def test_too_few_streams_are_an_error(said: int | None) -> None:
    """E2: a guest cannot take the share of one lane away."""
    with pytest.raises(GuestProtocolError):
        codec.parse_hello(hello_of(2, said), nonce=NONCE)


def hello_of(version: int, streams: int | None) -> Frame:
    told = [] if streams is None else [(Tag.STREAMS, u64(streams))]
    body = codec.MAGIC + NONCE + struct.pack("<HH", version, 0) + HELLO_FIELDS + encode_fields(told)
    return Frame(FrameType.HELLO, 0, 0, body)


@pytest.mark.parametrize("version", [0, 3, 65535])
def test_another_version_is_named(version: int) -> None:
    payload = codec.MAGIC + NONCE + struct.pack("<HH", version, 0)
    with pytest.raises(GuestProtocolError, match=f"version \\({version},"):
        codec.parse_hello(Frame(FrameType.HELLO, 0, 0, payload), nonce=NONCE)


@given(st.integers(0, 100_000))
@settings(max_examples=50)
def test_a_request_is_split_into_frames_with_more(size: int) -> None:
    data = codec.encode_request(5, Kind.EXEC, fields=b"f" * size)
    payloads, flags, at = b"", [], 0
    while at < len(data):
        kind, channel, flag, zero, stream, length = struct.unpack_from("<BBBBII", data, at)
        assert (kind, channel, zero, stream) == (FrameType.OPEN, 0, 0, 5)
        assert length <= codec.MAX_PAYLOAD
        payloads += data[at + 12 : at + 12 + length]
        assert data[at + 12 + length] == codec.END
        flags.append(flag)
        at += 13 + length
    assert payloads == bytes([Kind.EXEC]) + b"f" * size
    assert flags == [codec.MORE] * (len(flags) - 1) + [0]


def test_a_request_over_a_mebibyte_is_refused_here() -> None:
    codec.encode_request(1, Kind.EXEC, fields=bytes(codec.MAX_REQUEST - 1))
    with pytest.raises(InvalidRequest, match="1048577"):
        codec.encode_request(1, Kind.EXEC, fields=bytes(codec.MAX_REQUEST))


@given(st.integers(0, 200_000))
@settings(max_examples=50)
def test_data_is_split_into_frames(size: int) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    frames = feed(FrameDecoder(), codec.encode_data(9, 0, data=memoryview(content)))
    assert b"".join(each.payload for each in frames) == content
    assert len(frames) == -(-size // codec.MAX_PAYLOAD)


def test_the_preamble_completes_the_largest_frame() -> None:
    assert bytes(32781) == codec.PREAMBLE
    assert codec.encode_hello(NONCE)[32781:] == (
        b"\x01\0\0\0" + bytes(4) + struct.pack("<I", 28) + b"BANGER\0\x01" + NONCE + b"\1\0\2\0\xe5"
    )


@pytest.mark.parametrize("payload", [b"", b"\1\0\0", b"\1\0\0\0\0"])
def test_a_credit_is_four_bytes(payload: bytes) -> None:
    assert codec.parse_credit(b"\1\2\0\0") == 513
    with pytest.raises(GuestProtocolError):
        codec.parse_credit(payload)
