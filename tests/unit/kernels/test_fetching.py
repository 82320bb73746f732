"""What may be fetched, and what it is called."""

from __future__ import annotations

import pytest

from banger.errors import InvalidRequest
from banger.kernels import parse_remote, propose_name

HEX = "0123456789abcdef" * 4


def test_what_a_kernel_says_of_its_source_has_no_secrets() -> None:
    """G6: signed addresses have one in their query."""
    remote = parse_remote("https://host/a?token=x#y", f"SHA256:{HEX.upper()}", insecure=False)
    assert remote.url == "https://host/a?token=x"
    assert remote.source == f"url:https://host/a sha256:{HEX}"


@pytest.mark.parametrize(
    ("url", "insecure"),
    [
        ("https://host/a", False),
        ("http://localhost:1/a", False),
        ("http://127.9.9.9/a", False),
        ("http://[::1]:80/a", False),
        ("http://host/a", True),
    ],
)
def test_plain_http_needs_a_word_or_loopback(url: str, insecure: bool) -> None:
    assert parse_remote(url, HEX, insecure=insecure).url == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://host/a", "plain HTTP"),
        ("http://127.0.0.1.example/a", "plain HTTP"),
        ("file:///etc/passwd", "not an http or https URL"),
        ("ftp://host/a", "not an http or https URL"),
        ("https:///a", "not an http or https URL"),
        ("https://[::1/a", "not an http or https URL"),
        ("https://user:secret@host/a", "must not contain a user name or a password"),
    ],
)
def test_what_may_not_be_asked(url: str, words: str) -> None:
    """F5, G6: and a password is not repeated."""
    with pytest.raises(InvalidRequest, match=words) as caught:
        parse_remote(url, HEX, insecure=False)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("digest", ["", "x" * 64, HEX[:-1], f"md5:{HEX}", f"{HEX}0"])
def test_what_is_no_sha256(digest: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a sha256"):
        parse_remote("https://host/a", digest, insecure=True)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/p/linux-image-6.1.0-1-cloud_6.1.1-1_amd64.deb", "linux-image-6.1.0-1-cloud"),
        ("https://h/vmlinux-6.1.102?x=/y", "vmlinux-6.1.102"),
        ("https://h/My%20Kernel.tar.xz", "my-kernel"),
        ("https://h/../..", "kernel"),
        ("https://h/", "kernel"),
        (f"https://h/{'k' * 99}", "k" * 63),
    ],
)
def test_names(url: str, name: str) -> None:
    assert propose_name(url) == name
