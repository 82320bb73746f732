"""Platforms: choose the manifest of an index for a machine. Pure but for `host_platform`.

The words are Go's, as in the OCI image specification. A variant is a step of one
architecture: arm64 is v8; a machine of arm v7 runs what is for v6 and v5; amd64 without one is v1.
"""

from __future__ import annotations

import platform as machine
import re

from banger.errors import ImageUnsupported, InvalidRequest
from banger.images.content import Descriptor, Index, Platform

_WORD = re.compile(r"[a-z0-9][a-z0-9_.-]{0,30}")
_FROM_MACHINE = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_FROM_HABIT = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}
_BASE_VARIANT = {"arm64": "v8", "amd64": "v1", "arm": "v7"}
LISTED_MAX = 12


def host_platform() -> Platform:
    """Return the platform of guests on this machine."""
    name = machine.machine()
    return Platform(os="linux", architecture=_FROM_MACHINE.get(name, name))


def parse_platform(untrusted: str) -> Platform:
    """Return the platform that `OS/ARCH[/VARIANT]`, or `ARCH` alone, means.

    Raises:
        InvalidRequest: it means none.
    """
    words = untrusted.lower().split("/")
    if len(words) > 3 or not all(_WORD.fullmatch(word) for word in words):
        raise InvalidRequest(
            f"{untrusted[:60]!r} is not a platform of the form OS/ARCH, such as linux/arm64."
        )
    if len(words) == 1:
        words = ["linux", *words]
    os, architecture, *variant = words
    return Platform(
        os=os,
        architecture=_FROM_HABIT.get(architecture, architecture),
        variant=variant[0] if variant else "",
    )


def choose_manifest(index: Index, wanted: Platform) -> Descriptor:
    """Return the entry that is best for a platform.

    Raises:
        ImageUnsupported: there is none; those that there are are named.
    """
    offers = [(entry.platform, entry.descriptor) for entry in index.entries if entry.platform]
    fitting = [
        (rank, descriptor)
        for offer, descriptor in offers
        if (rank := _rank(offer, wanted)) is not None
    ]
    if fitting:
        return min(fitting, key=lambda pair: pair[0])[1]
    # What builders attach to an image (attestations) is for `unknown/unknown`.
    names = sorted({str(offer) for offer, _ in offers if offer.os != "unknown"})
    listed = ", ".join(names[:LISTED_MAX]) or "none"
    raise ImageUnsupported(f"The image is not for {wanted}; it is for: {listed}.")


def is_for(offer: Platform, wanted: Platform) -> bool:
    """Tell whether a machine of the platform `wanted` runs what is made for `offer`."""
    return _rank(offer, wanted) is not None


def _rank(offer: Platform, wanted: Platform) -> int | None:
    """Return how far an offer is from what is wanted, 0 being best; None if it does not do."""
    if (offer.os, offer.architecture) != (wanted.os, wanted.architecture):
        return None
    base = _BASE_VARIANT.get(offer.architecture, "")
    step = _step(wanted.variant or base) - _step(offer.variant or base)
    return step if step >= 0 else None


def _step(variant: str) -> int:
    digits = variant.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 4 else 0
