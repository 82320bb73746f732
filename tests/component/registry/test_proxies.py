"""Registries behind a proxy: the name of a registry means something to the proxy alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.errors import RegistryUnreachable
from banger.images.registry import retries
from banger.model.registries import Registries
from tests.component.registry.hostile import (
    HostileRegistry,
    hostile_registry,
    make_certificate,
)
from tests.component.registry.pulling import Puller, a_puller, run
from tests.support.proxies import ForwardProxy, forward_proxy

NAME = "registry.test"
CONTENT = b"x" * 1000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait shorter between tries than one does in the world."""
    monkeypatch.setattr(retries, "FIRST_DELAY_S", 0.001)


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with forward_proxy() as proxy:
        yield proxy


@pytest.fixture
def plain(proxy: ForwardProxy) -> Iterator[HostileRegistry]:
    with hostile_registry() as registry:
        registry.add_image("x", CONTENT)
        proxy.places[f"{NAME}:80"] = registry.address
        yield registry


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"), f"DNS:{NAME}")


@pytest.fixture
def secure(proxy: ForwardProxy, certificate: Path) -> Iterator[HostileRegistry]:
    with hostile_registry(certificate) as registry:
        registry.add_image("x", CONTENT)
        proxy.places[f"{NAME}:443"] = registry.address
        yield registry


def pull_x(root: Path, *, insecure: bool = False, **environ: str) -> Puller:
    async def work() -> Puller:
        async with a_puller(
            root, registries=Registries(), environ={"HOME": str(root), **environ}
        ) as puller:
            await puller.pull(f"{NAME}/x", insecure=insecure)
            return puller

    return run(work())


def test_plain_http(proxy: ForwardProxy, plain: HostileRegistry, tmp_path: Path) -> None:
    """F5, G6: the registry sees what it would see of us, and not how the proxy lets us in."""
    proxy.credentials = "me:secret"
    puller = pull_x(tmp_path, insecure=True, HTTP_PROXY=proxy.url)
    assert plain.digests[0].removeprefix("sha256:") in puller.blobs()
    assert proxy.asked[0] == f"GET http://{NAME}/v2/x/manifests/latest"
    assert len(proxy.asked) == len(plain.requests) == 3
    for _, headers in plain.requests:
        assert headers["Host"] == NAME
        assert not any(name.startswith("Proxy-") for name in headers)


def test_tls(
    proxy: ForwardProxy, secure: HostileRegistry, certificate: Path, tmp_path: Path
) -> None:
    """F5: the proxy passes on bytes that it cannot read; whose certificate is wrong is refused."""
    proxy.credentials = "me:secret"
    environ = {"https_proxy": proxy.url, "SSL_CERT_FILE": str(certificate)}
    with pytest.raises(RegistryUnreachable, match=f"certificate of {NAME} is not accepted"):
        pull_x(tmp_path, HTTPS_PROXY=proxy.url)
    puller = pull_x(tmp_path, **environ)
    assert secure.digests[0].removeprefix("sha256:") in puller.blobs()
    assert set(proxy.asked) == {f"CONNECT {NAME}:443"}
    for _, headers in secure.requests:
        assert not any(name.startswith("Proxy-") for name in headers)


def test_each_hop_has_its_own_way(
    proxy: ForwardProxy, plain: HostileRegistry, tmp_path: Path
) -> None:
    """F5, G6: where a redirect leads is reached directly if NO_PROXY, or its address, says so."""
    proxy.credentials = "me:secret"
    blob = plain.blob_path("x")
    with hostile_registry() as elsewhere:
        elsewhere.routes["/blob"] = plain.routes[blob]
        plain.routes[blob] = lambda h: h.redirect(f"http://{elsewhere.address}/blob")
        pull_x(tmp_path, insecure=True, HTTP_PROXY=proxy.url)
        ((path, headers),) = elsewhere.requests
    assert path == "/blob" and "Proxy-Authorization" not in headers
    assert not any(elsewhere.address in line for line in proxy.asked)
    # A name that only the proxy knows, without the proxy.
    asked = len(proxy.asked)
    with pytest.raises(RegistryUnreachable, match=f"{NAME} cannot be reached"):
        pull_x(tmp_path / "new", insecure=True, HTTP_PROXY=proxy.url, NO_PROXY=NAME)
    assert len(proxy.asked) == asked


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY"])
def test_a_proxy_that_wants_other_credentials(
    proxy: ForwardProxy, plain: HostileRegistry, tmp_path: Path, variable: str
) -> None:
    """G6, H6: at once, with the variable's name and without its password."""
    proxy.credentials = "me:secret"
    for url, fact in (
        (f"http://{proxy.address}", "wants credentials"),
        (f"http://me:wrong@{proxy.address}", "does not accept the user name and password"),
    ):
        with pytest.raises(RegistryUnreachable, match=fact) as caught:
            pull_x(tmp_path, insecure=variable == "HTTP_PROXY", **{variable: url})
        assert proxy.address in caught.value.message and variable in caught.value.message
        assert "wrong" not in f"{caught.value} {caught.value.hint}"
    assert len(proxy.asked) == 2
    assert plain.requests == []


def test_a_proxy_that_cannot_be_used(proxy: ForwardProxy, tmp_path: Path) -> None:
    """H6: which of the two could not be reached, the proxy or what is behind it."""
    with pytest.raises(RegistryUnreachable, match=f"does not connect to {NAME}:443: 502"):
        pull_x(tmp_path, HTTPS_PROXY=proxy.url)
    with pytest.raises(RegistryUnreachable, match=r"The proxy 127.0.0.1:1 cannot be reached"):
        pull_x(tmp_path, HTTPS_PROXY="127.0.0.1:1")
