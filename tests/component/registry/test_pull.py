"""Pulling from a real registry: what comes is what was put in, once, verified."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from banger.errors import ImageNotFound, ImageUnsupported, RegistryUnreachable
from banger.images.content import Compression, Platform
from banger.images.registry import trim_blobs
from banger.model.registries import Registries, RegistrySettings
from tests.component.registry.conftest import Stocked
from tests.component.registry.pulling import Puller, a_puller, run
from tests.support.installations import wait_for
from tests.support.registries import free_port

ARM64 = Platform(os="linux", architecture="arm64")


def test_an_image_comes_whole(stocked: Stocked, tmp_path: Path) -> None:
    async def work() -> None:
        async with a_puller(tmp_path) as puller:
            heard: list[tuple[object, ...]] = []
            resolved, pulled = await puller.pull(
                f"{stocked.address}/test/x:image", progress=lambda *event: heard.append(event)
            )
            assert [layer.path.read_bytes() for layer in pulled.layers] == [
                layer.content for layer in stocked.layers
            ]
            assert [layer.diff_id for layer in pulled.layers] == [
                layer.diff_id for layer in stocked.layers
            ]
            assert [layer.compression for layer in pulled.layers] == [
                Compression.GZIP,
                Compression.ZSTD,
                Compression.NONE,
            ]
            assert pulled.config.env == {"A": "b"}
            assert (pulled.config.cmd, pulled.config.working_dir) == (("/c",), "/w")
            assert resolved.pinned == f"{stocked.address}/test/x@{resolved.digest}"
            whole = sum(len(layer.content) for layer in stocked.layers)
            assert heard[-1] == ("downloading layers", whole, whole, ())
            assert puller.partial() == []

    run(work())


def test_a_digest_pins(stocked: Stocked, tmp_path: Path) -> None:
    async def work() -> None:
        async with a_puller(tmp_path) as puller:
            by_tag, _ = await puller.pull(f"{stocked.address}/test/x:index")
            by_digest, _ = await puller.pull(by_tag.pinned)
            assert by_digest.pinned == by_tag.pinned
            assert by_digest.manifest == by_tag.manifest

    run(work())


def test_an_index_gives_the_platform_that_is_asked_for(stocked: Stocked, tmp_path: Path) -> None:
    async def work() -> None:
        async with a_puller(tmp_path) as puller:
            reference = f"{stocked.address}/test/x:index"
            _, here = await puller.pull(reference)
            _, there = await puller.pull(reference, platform=ARM64)
            assert (here.config.architecture, len(here.layers)) == ("amd64", 3)
            assert (there.config.architecture, len(there.layers)) == ("arm64", 1)
            with pytest.raises(ImageUnsupported, match=r"it is for: linux/amd64, linux/arm64/v8"):
                await puller.pull(reference, platform=Platform(os="linux", architecture="s390x"))
            # Without an index the configuration says what it is for.
            with pytest.raises(ImageUnsupported, match="The image is for linux/amd64,"):
                await puller.pull(f"{stocked.address}/test/x:image", platform=ARM64)

    run(work())


def test_what_is_not_there_is_named(stocked: Stocked, tmp_path: Path) -> None:
    async def work() -> None:
        async with a_puller(tmp_path) as puller:
            with pytest.raises(ImageNotFound, match="has no nothing of test/x"):
                await puller.pull(f"{stocked.address}/test/x:nothing")
            with pytest.raises(RegistryUnreachable, match="cannot be reached"):
                await puller.pull(f"127.0.0.1:{free_port()}/test/x:nothing")

    run(work())


def count_blob_requests(stocked: Stocked, digest: str) -> int:
    return len(
        [
            line
            for line in stocked.registry.log.read_text().splitlines()
            if f'"GET /v2/test/x/blobs/sha256:{digest}' in line
        ]
    )


def test_two_pulls_of_one_image_download_once(stocked: Stocked, tmp_path: Path) -> None:
    """C3: and so do two images that have a layer in common."""

    async def work() -> None:
        async with a_puller(tmp_path) as puller:
            digest = hashlib.sha256(stocked.layers[0].content).hexdigest()
            before = count_blob_requests(stocked, digest)
            references = [f"{stocked.address}/test/x:{tag}" for tag in ("image", "image", "sister")]
            await asyncio.gather(*(puller.pull(reference) for reference in references))
            await asyncio.to_thread(
                wait_for, lambda: count_blob_requests(stocked, digest) > before, "the log"
            )
            assert count_blob_requests(stocked, digest) == before + 1

    run(work())


@pytest.mark.parametrize("damage", ["altered", "emptied", "longer"])
def test_a_damaged_blob_is_fetched_again(stocked: Stocked, tmp_path: Path, damage: str) -> None:
    """F3: a cached blob is verified when it is used anew."""

    async def work() -> None:
        async with a_puller(tmp_path) as puller:
            reference = f"{stocked.address}/test/x:image"
            _, pulled = await puller.pull(reference)
            path = pulled.layers[0].path
            whole = path.read_bytes()
            changed = {"altered": b"x" + whole[1:], "emptied": b"", "longer": whole + b"x"}
            path.write_bytes(changed[damage])
            await puller.pull(reference)
            assert path.read_bytes() == whole

    run(work())


def test_blobs_of_the_cache_are_not_asked_for(stocked: Stocked, tmp_path: Path) -> None:
    async def work() -> None:
        async with a_puller(tmp_path) as puller:
            digest = hashlib.sha256(stocked.layers[1].content).hexdigest()
            await puller.pull(f"{stocked.address}/test/x:image")
            before = count_blob_requests(stocked, digest)
            await puller.pull(f"{stocked.address}/test/x:image")
            assert count_blob_requests(stocked, digest) == before

    run(work())


def test_a_download_goes_on_where_it_was_broken_off(stocked: Stocked, tmp_path: Path) -> None:
    async def work() -> None:
        async with a_puller(tmp_path) as puller:
            content = stocked.layers[0].content
            digest = hashlib.sha256(content).hexdigest()
            leave_partial(puller, digest, content[:2_000_000])
            await puller.pull(f"{stocked.address}/test/x:image")
            asked = [
                line for line in stocked.registry.log.read_text().splitlines() if digest in line
            ]
            assert any(f" 206 {len(content) - 2_000_000} " in line for line in asked), asked
            assert digest in puller.blobs()

    run(work())


def test_a_broken_off_beginning_that_is_wrong_is_dropped(stocked: Stocked, tmp_path: Path) -> None:
    """F3."""

    async def work() -> None:
        async with a_puller(tmp_path) as puller:
            content = stocked.layers[0].content
            digest = hashlib.sha256(content).hexdigest()
            for wrong in (b"x" * 1000, b"x" * len(content), b"x" * (len(content) + 1)):
                puller.layout.blob(digest).unlink(missing_ok=True)
                leave_partial(puller, digest, wrong)
                await puller.pull(f"{stocked.address}/test/x:image")
                assert puller.layout.blob(digest).read_bytes() == content

    run(work())


def leave_partial(puller: Puller, digest: str, content: bytes) -> None:
    puller.layout.partial_blobs.mkdir(parents=True, exist_ok=True)
    (puller.layout.partial_blobs / digest).write_bytes(content)


def test_a_mirror_is_asked_first_and_left_when_it_fails(stocked: Stocked, tmp_path: Path) -> None:
    async def work() -> None:
        dead = f"127.0.0.1:{free_port()}"
        registries = Registries(
            {"registry.invalid": RegistrySettings(mirrors=(dead, f"{stocked.address}/test"))}
        )
        async with a_puller(tmp_path, registries=registries) as puller:
            resolved, _ = await puller.pull("registry.invalid/x:image")
            assert resolved.pinned.startswith("registry.invalid/x@sha256:")

    run(work())


def test_old_and_surplus_blobs_go(stocked: Stocked, tmp_path: Path) -> None:
    """C4 is the caller's: it trims when no pull runs."""

    async def work() -> None:
        async with a_puller(tmp_path) as puller:
            _, pulled = await puller.pull(f"{stocked.address}/test/x:image")
            leave_partial(puller, "0" * 64, b"young")
            leave_partial(puller, "1" * 64, b"old")
            os.utime(puller.layout.partial_blobs / ("1" * 64), (0, 0))
            now = puller.layout.partial_blobs.stat().st_mtime
            assert trim_blobs(puller.layout, now=now) == 3
            assert [path.name for path in puller.partial()] == ["0" * 64]
            os.utime(pulled.layers[0].path, (0, 0))
            size = len(stocked.layers[0].content)
            total = sum(path.stat().st_size for path in (puller.layout.blobs / "sha256").iterdir())
            assert trim_blobs(puller.layout, now=now, keep_bytes=total) == len(b"young")
            assert trim_blobs(puller.layout, now=now, keep_bytes=total - 1) == size
            assert not pulled.layers[0].path.exists()
            trim_blobs(puller.layout, now=now, keep_bytes=0)
            assert puller.blobs() == set()

    run(work())
