"""Which proxy a URL goes through: the rules are those of Go's programs, docker among them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import ConfigInvalid
from banger.host.http.proxies import Proxy, find_proxy, is_loopback, render_proxies

BOTH = {"HTTP_PROXY": "http://plain.example:3128", "HTTPS_PROXY": "secure.example"}


def find(url: str, environ: dict[str, str]) -> str | None:
    proxy = find_proxy(urlsplit(url), environ)
    return None if proxy is None else f"{proxy.host}:{proxy.port}"


def test_each_scheme_has_its_variable() -> None:
    assert find("http://r.example/v2/", BOTH) == "plain.example:3128"
    assert find("https://r.example/v2/", BOTH) == "secure.example:80"
    assert find("https://r.example/", {"HTTP_PROXY": "http://plain.example"}) is None
    assert find("https://r.example/", {"https_proxy": "[fe80::1]:8"}) == "fe80::1:8"
    assert find("https://r.example/", {"https_proxy": "a", "HTTPS_PROXY": "b:1"}) == "b:1"
    assert find("https://r.example/", {"HTTPS_PROXY": " "}) is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        ("*", "https://r.example/", True),
        ("r.example", "https://r.example/", True),
        ("r.example", "https://x.r.example/", True),
        ("r.example", "https://xr.example/", False),
        (".r.example", "https://r.example/", False),
        (".r.example,*.b.example", "https://x.b.example/", True),
        ("*.b.example", "https://b.example/", False),
        (" R.Example , x", "https://r.example/", True),
        ("r.example:443", "https://r.example/", True),
        ("r.example:80", "https://r.example/", False),
        ("r.example:5000", "https://r.example:5000/", True),
        ("10.0.0.0/8", "https://10.1.2.3:5000/", True),
        ("10.0.0.0/8", "https://11.1.2.3/", False),
        ("10.1.2.3:5000", "https://10.1.2.3:5000/", True),
        ("10.1.2.3:5000", "https://10.1.2.3/", False),
        ("2001:db8::/32", "https://[2001:db8::1]/", True),
        ("[2001:db8::1]:443", "https://[2001:db8::1]/", True),
        ("2001:db8::1", "https://[2001:db8::1]/", True),
        ("0.0.0.0/0", "https://[2001:db8::1]/", False),
        ("0.0.0.0/0", "https://r.example/", False),
        (",.,:,*.,[", "https://r.example/", False),
    ],
)
def test_what_is_reached_directly(no_proxy: str, url: str, is_direct: bool) -> None:
    assert (find(url, {**BOTH, "NO_PROXY": no_proxy}) is None) is is_direct
    assert (find(url, {**BOTH, "no_proxy": no_proxy}) is None) is is_direct


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.9.9.9:5000", "[::1]:5000", "[::1]"]
)
def test_this_machine_is_reached_directly(host: str) -> None:
    assert find(f"http://{host}/", BOTH) is None
    assert is_loopback(host)
    assert not is_loopback(f"x{host}")


def test_credentials_are_kept_out_of_sight() -> None:
    """G6."""
    proxy = find_proxy(urlsplit("http://r/"), {"http_proxy": "http://me:s%40cret@p.example:1"})
    assert proxy == Proxy("p.example", 1, "http_proxy", "Basic bWU6c0BjcmV0")
    assert "bWU6" not in f"{proxy} {proxy!r}"


@pytest.mark.parametrize(
    "value", ["socks5://me:secret@p:1", "https://me:secret@p", "http://me:secret@", "me:secret@p:x"]
)
def test_what_is_no_proxy_is_one_sentence_without_secrets(value: str) -> None:
    """F6, G6."""
    with pytest.raises(ConfigInvalid, match="HTTP_PROXY") as caught:
        find("http://r.example/", {"HTTP_PROXY": value})
    assert "secret" not in f"{caught.value} {caught.value.hint}"


def test_what_apt_is_told() -> None:
    """Apt knows the names in lower case only, and takes URLs only."""
    assert render_proxies({**BOTH, "NO_PROXY": "x", "PATH": "/"}) == {
        "http_proxy": "http://plain.example:3128",
        "https_proxy": "http://secure.example",
        "no_proxy": "x",
    }
    assert render_proxies({}) == {}


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_read_or_refused(proxy: str, no_proxy: str) -> None:
    """F6."""
    try:
        find("http://r.example/", {"HTTP_PROXY": proxy, "NO_PROXY": no_proxy})
    except ConfigInvalid:
        return
