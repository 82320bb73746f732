"""What counts for a pull is the environment of who asks, whatever the daemon was started with."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.host.programs import find_tool
from tests.component.registry.hostile import Answer, Handler, HostileRegistry, hostile_registry
from tests.support.installations import Installation
from tests.support.proxies import forward_proxy

pytestmark = pytest.mark.skipif(find_tool("sqfstar") is None, reason="sqfstar is not installed")

AUTH = base64.b64encode(b"me:secret").decode()


@pytest.fixture
def banger(private_environ: dict[str, str]) -> Iterator[Installation]:
    """An installation whose daemon runs already, without anything of what its callers have."""
    with contextlib.closing(Installation(private_environ)) as installation:
        installation.do("image", "list")
        yield installation


@pytest.fixture
def registry() -> Iterator[HostileRegistry]:
    with hostile_registry() as registry:
        registry.add_image("x", b"content")
        yield registry


def require_credentials(registry: HostileRegistry) -> None:
    """Let the registry answer to `me` alone."""
    for path, answer in list(registry.routes.items()):

        def guarded(handler: Handler, answer: Answer = answer) -> None:
            if handler.headers["Authorization"] == f"Basic {AUTH}":
                answer(handler)
            else:
                handler.send(b"", status=401, WWW_Authenticate='Basic realm="x"')

        registry.routes[path] = guarded


def test_the_callers_docker_configuration(
    banger: Installation, registry: HostileRegistry, tmp_path: Path
) -> None:
    """G6: the one that has the credentials gets the image, and nobody else."""
    require_credentials(registry)
    document = {"auths": {registry.address: {"auth": AUTH}}, "credHelpers": None}
    (tmp_path / "config.json").write_text(json.dumps(document))
    pull = ("image", "pull", "-q", f"{registry.address}/x")
    assert "wants credentials" in banger.run(*pull).err
    banger.do(*pull, env={"DOCKER_CONFIG": str(tmp_path)})
    assert banger.run(*pull).status == 9


def test_the_callers_proxy(banger: Installation, registry: HostileRegistry) -> None:
    """And not that of another caller."""
    pull = ("image", "pull", "-q", "--insecure", "registry.test/x")
    with forward_proxy() as proxy:
        proxy.places["registry.test:80"] = registry.address
        banger.do(*pull, env={"HTTP_PROXY": proxy.url, "NO_PROXY": "other.test"})
        asked = len(proxy.asked)
        assert asked > 0
        refused = banger.run(*pull, env={"HTTP_PROXY": "socks5://127.0.0.1:1"}, status=2)
        assert "socks5 proxies cannot be used" in refused.err
        assert len(proxy.asked) == asked


def test_a_kernel_through_the_callers_proxy(
    banger: Installation, registry: HostileRegistry
) -> None:
    """The server is asked through the proxy; what it has is no kernel."""
    url, digest = "http://kernels.test/k", "0" * 64
    fetch = ("kernel", "pull", url, "--sha256", digest, "--insecure", "--name", "k")
    with forward_proxy() as proxy:
        proxy.places["kernels.test:80"] = registry.address
        refused = banger.run(*fetch, env={"HTTP_PROXY": proxy.url, "NO_PROXY": "other.test"})
        assert proxy.asked == [f"GET {url}"]
        assert "answers 404" in refused.err
