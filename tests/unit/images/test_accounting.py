"""What images take of the disk, alone and together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from banger.images.accounting import DiskUse, count_disk_use
from banger.model.artifacts import ExternalRoot, Image, ImageLayer


def image(number: int, layers: str, *, external: bool = False) -> Image:
    return Image(
        name=f"i{number}",
        created_at=1,
        init=None,
        source="test",
        layers=tuple(ImageLayer(digest=name, size_bytes=10) for name in layers),
        digest=f"{number:064x}",
        size_bytes=1000,
        root="root.squashfs",
        root_sha256="",
        external=ExternalRoot(path="/x", mtime_ns=1) if external else None,
    )


def count(*images: Image, kept: dict[str, int]) -> list[tuple[int, int]]:
    use = count_disk_use(images, kept)
    return [(use[i.digest].unique_bytes, use[i.digest].shared_bytes) for i in images]


def test_layers_of_several_images_are_shared() -> None:
    """A layer that one image has twice is its alone; one that is not kept takes nothing."""
    kept = {"a": 10, "b": 20, "c": 40}
    found = count(image(1, "ab"), image(2, "accx"), image(3, "", external=True), kept=kept)
    assert found == [(1020, 10), (1040, 10), (0, 0)]


@given(st.lists(st.text("abcdef", max_size=5), max_size=6), st.sets(st.sampled_from("abcdef")))
def test_what_is_counted_is_there(shapes: list[str], kept: set[str]) -> None:
    """All unique bytes and each shared layer once are the bytes on the disk."""
    images = [image(number, layers) for number, layers in enumerate(shapes)]
    sizes = {name: 2**i for i, name in enumerate(sorted(kept))}
    use = count_disk_use(images, sizes)
    there = sum(sizes[name] for name in kept & set("".join(shapes)))
    unique = sum(found.unique_bytes for found in use.values())
    shared: set[str] = set()
    for each in images:
        for part in each.layers:
            others = [i for i in images if i is not each and part in i.layers]
            shared |= {part.digest} & kept if others else set()
    assert unique + sum(sizes[name] for name in shared) == there + 1000 * len(images)
    assert use == {i.digest: DiskUse(*count(*images, kept=sizes)[n]) for n, i in enumerate(images)}
