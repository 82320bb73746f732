"""F1, F5: signatures, their payloads and keys are read or refused, whatever the bytes are."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import ConfigInvalid, ImageInvalid, ImageUnsupported
from banger.images.signature import (
    PublicKey,
    Signed,
    load_key,
    parse_key,
    parse_payload,
    parse_signatures,
    signature_tag,
)
from tests.support.signing import make_payload, make_signature, make_signatures_manifest

HEAD = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"
POINT = base64.b64encode(bytes(range(64))).decode()
KEY = f"-----BEGIN PUBLIC KEY-----\n{HEAD}{POINT}\n-----END PUBLIC KEY-----\n"
DIGEST = "sha256:" + "ab" * 32
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def test_a_key_is_read_and_written_as_it_was() -> None:
    key = parse_key(KEY.encode(), "k")
    assert parse_key(key.pem, "k") == key
    assert str(key).startswith("k (sha256:") and len(str(key)) == 27


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY.replace("PUBLIC", "PRIVATE"),
        KEY.replace(HEAD, HEAD[:-1] + "F"),
        KEY.replace(POINT, POINT[:-8]),
        KEY.replace(POINT, "=" + POINT[1:]),
        KEY + KEY,
    ],
)
def test_what_is_no_key_of_p256_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid, match="k contains no ECDSA P-256 public key"):
        parse_key(text.encode(), "k")


def test_a_file_that_cannot_be_read_is_one_sentence() -> None:
    """F6."""
    for name in ("/nonexistent/key", "/", "~no-such-user/key"):
        with pytest.raises(ConfigInvalid, match=f"The key {name} of registries"):
            load_key(name)


def test_what_cosign_writes_is_read() -> None:
    signature = make_signature(b"payload", b"\x30\x00")
    manifest = json.dumps(make_signatures_manifest(signature)).encode()
    (found,) = parse_signatures(manifest)
    assert (found.payload.digest, found.payload.size, found.der) == (
        signature["digest"],
        7,
        b"\x30\x00",
    )
    assert parse_payload(make_payload(DIGEST, "x/y")) == Signed(digest=DIGEST, name="x/y")
    assert signature_tag(DIGEST) == "sha256-" + "ab" * 32 + ".sig"


@given(st.binary(max_size=200))
def test_any_bytes(untrusted: bytes) -> None:
    for parse in (parse_signatures, parse_payload):
        with contextlib.suppress(ImageInvalid, ImageUnsupported):
            parse(untrusted)
    with contextlib.suppress(ConfigInvalid):
        assert isinstance(parse_key(untrusted, "k"), PublicKey)


@given(st.sampled_from(["layers", "schemaVersion", "mediaType", "config"]), JSON)
def test_any_member_of_a_manifest(name: str, value: Any) -> None:
    manifest = make_signatures_manifest(make_signature(b"p", b"s")) | {name: value}
    with contextlib.suppress(ImageInvalid, ImageUnsupported):
        parse_signatures(json.dumps(manifest).encode())


@given(st.sampled_from(["mediaType", "digest", "size", "annotations"]), JSON)
def test_any_member_of_a_signature(name: str, value: Any) -> None:
    manifest = make_signatures_manifest(make_signature(b"p", b"s") | {name: value})
    with contextlib.suppress(ImageInvalid, ImageUnsupported):
        for found in parse_signatures(json.dumps(manifest).encode()):
            assert found.payload.digest.startswith("sha256:") and found.der


@given(st.sampled_from(["identity", "image", "type"]), JSON)
def test_any_member_of_a_payload(name: str, value: Any) -> None:
    with contextlib.suppress(ImageInvalid, ImageUnsupported):
        parse_payload(make_payload(DIGEST, "x", **{name: value}))
