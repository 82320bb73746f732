"""F5 for kernels: a file from a URL is the right one, or nothing of it is left."""

from __future__ import annotations

import asyncio
import hashlib
import lzma
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.errors import (
    ConfigInvalid,
    DeadlineExceeded,
    DownloadFailed,
    InvalidRequest,
    KernelUnfit,
)
from banger.host import programs
from banger.host.http import exchange
from banger.kernels import (
    Order,
    fetch_kernel,
    fetching,
    find_kernel,
    kernel_dir,
    list_kernels,
    parse_remote,
)
from banger.kernels.contents import TREE
from banger.kernels.package import Package
from banger.kernels.parts import pack_tree
from banger.layout import Layout
from banger.model.artifacts import Kernel
from banger.vmm.table import find_kernel_obstacle
from tests.component.registry.hostile import Handler, HostileRegistry, hostile_registry
from tests.support.proxies import forward_proxy
from tests.unit.kernels.samples import VERSION, config, deb, kernel, module, tar

KERNEL = kernel(carries=config())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server() -> Iterator[HostileRegistry]:
    with hostile_registry() as server:
        server.routes["/k"] = lambda handler: handler.send(KERNEL)
        yield server


class Fetcher:
    """Fetches into one layout."""

    def __init__(self, root: Path, server: HostileRegistry) -> None:
        self.layout = Layout(
            config=root / "c", data=root / "d", state=root / "s", cache=root / "k", runtime=root
        )
        self.agent = root / "agent"
        self.agent.write_bytes(b"agent one")
        self.server = server
        self.stages: list[str] = []
        self.environ: dict[str, str] = {}

    async def fetch(self, path: str = "/k", digest: str = sha256(KERNEL), **more: object) -> Kernel:
        order = Order(
            layout=self.layout,
            name="mine",
            agent=self.agent,
            agent_version="1",
            progress=lambda stage, done, total: self.stages.append(stage),
            now=12.0,
            find_obstacle=find_kernel_obstacle,
            environ=self.environ,
        )
        url = path if "://" in path else f"http://{self.server.address}{path}"
        remote = parse_remote(url, digest, insecure="://" in path)
        options = {"config": None, "force": False, **more}
        return await fetch_kernel(order, remote, **options)  # type: ignore[arg-type]  # of any kind

    def get(self, path: str = "/k", digest: str = sha256(KERNEL), **more: object) -> Kernel:
        return asyncio.run(self.fetch(path, digest, **more))

    def left(self) -> list[str]:
        """Return all that is on disk besides the agent."""
        files = [*self.layout.data.rglob("*")] if self.layout.data.exists() else []
        return [str(path) for path in files if path.is_file()]


@pytest.fixture
def fetcher(tmp_path: Path, server: HostileRegistry) -> Fetcher:
    return Fetcher(tmp_path, server)


def test_a_kernel_with_everything_built_in(fetcher: Fetcher) -> None:
    """And a second time nothing is fetched; with another agent neither."""
    made = fetcher.get()
    assert (made.version, made.modules, made.tree) == (VERSION, (), None)
    assert made.source == f"url:http://{fetcher.server.address}/k sha256:{sha256(KERNEL)}"
    assert (kernel_dir(fetcher.layout, made) / made.bzimage).read_bytes() == KERNEL
    assert made.missed == ("CONFIG_MODULES is not set (for loading modules)",)
    assert fetcher.get() == made
    fetcher.agent.write_bytes(b"agent two")
    assert fetcher.get().digest != made.digest
    assert len(fetcher.server.requests) == 1
    fetcher.get(force=True)
    assert len(fetcher.server.requests) == 2
    assert list(fetcher.layout.staging.iterdir()) == []


def test_a_server_behind_a_proxy(fetcher: Fetcher, server: HostileRegistry) -> None:
    """The name of the server means something to the proxy alone."""
    with forward_proxy() as proxy:
        proxy.places["kernels.test:80"] = server.address
        fetcher.environ = {"http_proxy": proxy.url}
        assert fetcher.get("http://kernels.test/k").version == VERSION
        assert proxy.asked == ["GET http://kernels.test/k"]
        fetcher.environ = {"http_proxy": f"socks5://me:secret@{proxy.address}"}
        with pytest.raises(ConfigInvalid, match="http_proxy"):
            fetcher.get("http://kernels.test/k", force=True)
    assert fetcher.left()


def test_a_package_with_modules(fetcher: Fetcher) -> None:
    """Its modules, and its configuration, which says which of them are loaded."""
    text = config("SQUASHFS") + "CONFIG_SQUASHFS=m\nCONFIG_MODULES=y\n"
    files = {
        f"./boot/vmlinuz-{VERSION}": kernel(),
        f"./boot/config-{VERSION}": text.encode(),
        f"./lib/modules/{VERSION}/kernel/fs/squashfs.ko": module(vermagic=f"{VERSION} SMP"),
    }
    package = deb(lzma.compress(tar(files)), ".xz")
    fetcher.server.routes["/p.deb"] = lambda handler: handler.send(package)
    made = fetcher.get("/p.deb", sha256(package))
    assert (made.modules, made.missed) == (("squashfs.ko",), ())
    assert made.tree in made.hashes


def test_a_version_that_depmod_would_not_take(fetcher: Fetcher, tmp_path: Path) -> None:
    """depmod takes versions that begin with numbers; a kernel may have any."""
    tree = tmp_path / "tree"
    (tree / "kernel").mkdir(parents=True)
    (tree / "kernel/a.ko").write_bytes(module())
    package = Package(tree=tree, version="mine", modules={"a": tree / "kernel/a.ko"})
    asyncio.run(pack_tree(package, tmp_path))
    shown = programs.run_sync(
        ["unsquashfs", "-cat", str(tmp_path / TREE), "modules.dep"], deadline_s=60
    )
    assert shown.text == "kernel/a.ko:\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent", TREE]


def test_a_damaged_one_is_fetched_again(fetcher: Fetcher) -> None:
    """F3."""
    made = fetcher.get()
    (kernel_dir(fetcher.layout, made) / made.vmlinux).write_bytes(b"")
    fetcher.agent.write_bytes(b"agent two")
    again = fetcher.get()
    assert (kernel_dir(fetcher.layout, again) / again.vmlinux).stat().st_size > 0
    assert len(fetcher.server.requests) == 2


def break_off(handler: Handler) -> None:
    handler.send(KERNEL[:-5], length=len(KERNEL))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda h: h.send(KERNEL + b"x"), "does not have the requested sha256"),
        (lambda h: h.send(b""), "does not have the requested sha256"),
        (break_off, "closed the connection"),
        (lambda h: h.send(b"gone", status=404), "answers 404 Not Found"),
        (lambda h: h.send(KERNEL, status=206), "answers 206"),
        (lambda h: h.send(b"", length=2**40), "sends more than"),
        (lambda h: h.send_endlessly(), "sends more than"),
        (lambda h: h.wfile.write(b"no HTTP at all\r\n\r\n"), "does not speak HTTP"),
        (lambda h: h.redirect("/bad"), "redirects more than 5 times"),
        (lambda h: h.redirect("file:///etc/passwd"), "redirects to 'file:"),
        (lambda h: h.redirect("ftp://host/k"), "redirects to 'ftp:"),
    ],
)
def test_what_a_server_may_do_instead(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, answer: object, words: str
) -> None:
    monkeypatch.setattr(fetching, "FILE_BYTES_MAX", 3_000_000)
    fetcher.server.routes["/bad"] = answer  # type: ignore[assignment]
    with pytest.raises(DownloadFailed, match=words):
        fetcher.get("/bad")
    assert fetcher.left() == []


def test_a_deadline_tells_no_secret(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """G6: what signed addresses have in their query."""
    monkeypatch.setattr(fetching, "DEADLINE_S", 0.2)
    told = threading.Event()
    fetcher.server.routes["/late"] = lambda handler: bool(told.wait(60)) and None
    with pytest.raises(DeadlineExceeded, match="/late took longer than") as caught:
        fetcher.get("/late?token=secret")
    told.set()
    assert "secret" not in caught.value.message
    assert fetcher.left() == []


def test_a_redirect_is_followed(fetcher: Fetcher) -> None:
    fetcher.server.routes["/moved"] = lambda handler: handler.redirect("/k")
    assert fetcher.get("/moved").source.startswith(f"url:http://{fetcher.server.address}/moved ")


def test_a_server_that_says_nothing_is_left(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "STALL_S", 0.2)
    told = threading.Event()
    fetcher.server.routes["/stall"] = lambda handler: bool(told.wait(60)) and None
    with pytest.raises(DownloadFailed, match="does not answer") as caught:
        fetcher.get("/stall")
    told.set()
    assert caught.value.retryable
    assert fetcher.left() == []


def test_a_cancelled_fetch_leaves_nothing(fetcher: Fetcher) -> None:
    """C5: and its thread does not wait on."""
    begun, told = threading.Event(), threading.Event()

    def answer(handler: Handler) -> None:
        handler.send(KERNEL[:100], length=len(KERNEL))
        begun.set()
        told.wait(60)

    fetcher.server.routes["/slow"] = answer

    async def work() -> None:
        task = asyncio.ensure_future(fetcher.fetch("/slow"))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 30)

    asyncio.run(work())
    told.set()
    assert fetcher.left() == []


def test_what_it_lacks_is_named(fetcher: Fetcher, tmp_path: Path) -> None:
    """H6: option by option; and one that has no configuration cannot be checked."""
    small = kernel(carries="CONFIG_TMPFS=y\n")
    fetcher.server.routes["/small"] = lambda handler: handler.send(small)
    with pytest.raises(KernelUnfit, match=r"lacks \d+ of the features") as caught:
        fetcher.get("/small", sha256(small))
    lines = (caught.value.details or "").splitlines()
    for option in ("ACPI", "VIRTIO_MMIO", "VIRTIO_BLK", "VIRTIO_NET", "EXT4_FS", "OVERLAY_FS"):
        assert any(line.startswith(f"CONFIG_{option} is not set") for line in lines)
    silent = kernel()
    fetcher.server.routes["/silent"] = lambda handler: handler.send(silent)
    with pytest.raises(KernelUnfit, match="does not contain its configuration") as caught:
        fetcher.get("/silent", sha256(silent))
    assert caught.value.hint == f"--config /boot/config-{VERSION}"
    (tmp_path / "config").write_text(config())
    fetcher.get("/silent", sha256(silent), config=tmp_path / "config")
    # By another one it is checked anew, though it is here.
    (tmp_path / "config").write_text("CONFIG_TMPFS=y\n")
    with pytest.raises(KernelUnfit, match="of the features"):
        fetcher.get("/silent", sha256(silent), config=tmp_path / "config")
    assert [kernel.name for kernel in list_kernels(fetcher.layout)] == ["mine"]


def test_names_that_are_pulled_are_not_given_away(fetcher: Fetcher) -> None:
    assert find_kernel(fetcher.layout, "mine") is None
    order = Order(
        layout=fetcher.layout,
        name="debian-cloud",
        agent=fetcher.agent,
        agent_version="1",
        progress=lambda *_: None,
        now=1.0,
        find_obstacle=find_kernel_obstacle,
    )
    remote = parse_remote(f"http://{fetcher.server.address}/k", sha256(KERNEL), insecure=False)
    with pytest.raises(InvalidRequest, match="reserved for a kernel that can be pulled"):
        asyncio.run(fetch_kernel(order, remote, config=None, force=False))
    assert fetcher.server.requests == []
