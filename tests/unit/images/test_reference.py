"""References mean what they mean to Docker, or are refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import ReferenceInvalid
from banger.images.registry import Reference, parse_reference

DIGEST = f"sha256:{5:064x}"


@pytest.mark.parametrize(
    ("text", "whole", "familiar"),
    [
        ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
        ("a/b", "docker.io/a/b:latest", "a/b:latest"),
        ("a/b/c:d", "docker.io/a/b/c:d", "a/b/c:d"),
        ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("index.docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("registry-1.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest"),
        ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ("Host/x", "Host/x:latest", "Host/x:latest"),
        ("ghcr.io/a/b", "ghcr.io/a/b:latest", "ghcr.io/a/b:latest"),
        ("r.example/library/x", "r.example/library/x:latest", "r.example/library/x:latest"),
        (f"x@{DIGEST}", f"docker.io/library/x@{DIGEST}", f"x@{DIGEST}"),
        (f"x:t@{DIGEST}", f"docker.io/library/x:t@{DIGEST}", f"x:t@{DIGEST}"),
        ("a__b-c---d.e", "docker.io/library/a__b-c---d.e:latest", "a__b-c---d.e:latest"),
        ("5000/x", "docker.io/5000/x:latest", "5000/x:latest"),
        ("x:5000", "docker.io/library/x:5000", "x:5000"),
    ],
)
def test_a_reference_is_dockers(text: str, whole: str, familiar: str) -> None:
    reference = parse_reference(text)
    assert (str(reference), reference.familiar) == (whole, familiar)
    assert parse_reference(whole) == reference
    assert parse_reference(familiar) == reference


def test_a_digest_is_what_is_asked_for() -> None:
    assert parse_reference(f"x:t@{DIGEST}").wanted == DIGEST
    assert parse_reference("x").wanted == "latest"
    assert parse_reference("x:t").pin(DIGEST) == f"docker.io/library/x@{DIGEST}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a path is"),
        ("X", "a path is"),
        ("a b", "a path is"),
        ("a/", "a path is"),
        ("/a", "a path is"),
        ("a//b", "a path is"),
        ("../a", "a registry is"),
        ("-a", "a path is"),
        ("a___b", "a path is"),
        ("a:", "a tag is"),
        ("a:-b", "a tag is"),
        ("a:" + "b" * 129, "a tag is"),
        ("a:b\n", "a tag is"),
        ("a@", "a digest is"),
        ("a@sha256:1", "a digest is"),
        ("a@sha512:" + "0" * 128, "a digest is"),
        (f"a@{DIGEST}@{DIGEST}", "a digest is"),
        ("docker://a", "leave docker:// out"),
        ("https://r.example/a", "leave https:// out"),
        ("user@host.example/a", "a digest is"),
        ("host.example:port/a", "a registry is"),
        ("a" * 256, "longer than 255"),
    ],
)
def test_what_is_none_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(ReferenceInvalid, match=why):
        parse_reference(text)


@given(st.text(alphabet="abzAZ09./:@_-[] \x1b", max_size=40) | st.text(max_size=20))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    """F5: what is accepted can be put into a URL as it is, and reads back as itself."""
    try:
        reference = parse_reference(text)
    except ReferenceInvalid:
        return
    assert isinstance(reference, Reference)
    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.familiar) == reference
    assert str(reference).isascii() and str(reference).isprintable()
    assert ".." not in f"{reference.repository}/{reference.wanted}".split("/")
