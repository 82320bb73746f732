"""Which of the manifests of an index a machine gets."""

from __future__ import annotations

import pytest

from banger.errors import ImageUnsupported, InvalidRequest
from banger.images.content import Descriptor, Index, IndexEntry, Platform
from banger.images.platforms import choose_manifest, is_for, parse_platform


def an_index(*names: str | None) -> Index:
    return Index(
        entries=tuple(
            IndexEntry(
                descriptor=Descriptor(media_type="m", digest=f"sha256:{number:064x}", size=1),
                platform=parse_platform(name) if name else None,
            )
            for number, name in enumerate(names)
        )
    )


@pytest.mark.parametrize(
    ("offers", "wanted", "chosen"),
    [
        (["linux/arm64/v8", "linux/amd64"], "linux/amd64", 1),
        (["linux/arm64/v8", "linux/amd64"], "linux/arm64", 0),
        (["linux/arm64"], "linux/arm64/v8", 0),
        (["linux/amd64/v3", "linux/amd64"], "linux/amd64", 1),
        (["linux/amd64", "linux/amd64/v2", "linux/amd64/v3"], "linux/amd64/v2", 1),
        (["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "linux/arm", 2),
        (["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "linux/arm/v6", 1),
        ([None, "windows/amd64", "linux/amd64", "linux/amd64"], "linux/amd64", 2),
    ],
)
def test_the_best_offer_is_chosen(offers: list[str | None], wanted: str, chosen: int) -> None:
    descriptor = choose_manifest(an_index(*offers), parse_platform(wanted))
    assert descriptor.digest == f"sha256:{chosen:064x}"


@pytest.mark.parametrize("wanted", ["linux/arm/v5", "linux/amd64", "linux/386"])
def test_no_offer_names_those_there_are(wanted: str) -> None:
    index = an_index("linux/arm/v7", "linux/amd64/v3", "unknown/unknown", None)
    with pytest.raises(ImageUnsupported, match=r"it is for: linux/amd64/v3, linux/arm/v7\."):
        choose_manifest(index, parse_platform(wanted))


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("arm64", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("Linux/x86_64", "linux/amd64"),
        ("linux/arm/v7", "linux/arm/v7"),
    ],
)
def test_platforms_are_read_with_habits(text: str, platform: str) -> None:
    assert str(parse_platform(text)) == platform


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "linux/\x1b[2J", "linux/amd 64"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a platform"):
        parse_platform(text)


def test_a_strange_variant_is_no_crash() -> None:
    odd = Platform(os="linux", architecture="amd64", variant="v9999999")
    assert is_for(odd, Platform(os="linux", architecture="amd64"))
