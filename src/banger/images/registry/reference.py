"""Names of images in registries: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`. Pure.

Docker's rules, so that what is typed means what it means there: a first word with a dot, a
colon or an upper-case letter, or `localhost`, is a registry; without one it is Docker Hub, where a
path of one word is below `library/`; without tag and digest the tag is `latest`.
"""

from __future__ import annotations

import re

from msgspec import Struct

from banger.errors import ImageInvalid, ImageUnsupported, ReferenceInvalid
from banger.images.content import parse_digest
from banger.model.registries import REGISTRY_HOST

DOCKER_HUB = "docker.io"
DOCKER_HUB_API = "registry-1.docker.io"
DEFAULT_TAG = "latest"
NAME_LENGTH_MAX = 255

_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_SCHEME = re.compile(r"[a-z][a-z0-9+-]*://")


class Reference(Struct, frozen=True, kw_only=True):
    """One image of one registry. With a digest the tag says only what it was called."""

    registry: str
    """`docker.io`, `127.0.0.1:5000`."""
    repository: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}{self._suffix()}"

    @property
    def familiar(self) -> str:
        """The shortest text that means the same: `alpine:latest`."""
        if self.registry != DOCKER_HUB:
            return str(self)
        return self.repository.removeprefix("library/") + self._suffix()

    @property
    def wanted(self) -> str:
        """What a registry is asked for: the digest, else the tag."""
        wanted = self.digest or self.tag
        assert wanted
        return wanted

    def pin(self, digest: str) -> str:
        """Return the text that means exactly these bytes."""
        return f"{self.registry}/{self.repository}@{digest}"

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return tag + (f"@{self.digest}" if self.digest else "")


def parse_reference(untrusted: str) -> Reference:
    """Return the reference that a text means.

    Raises:
        ReferenceInvalid: it is none.
    """
    if match := _SCHEME.match(untrusted):
        raise _invalid(untrusted, f"leave {match[0]} out")
    rest, _, digest = untrusted.partition("@")
    if "@" in untrusted:
        digest = _require_digest(untrusted, digest)
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, ""
    elif not _TAG.fullmatch(tag):
        raise _invalid(untrusted, "a tag is letters, digits, _, . and -")
    registry, repository = _split_name(name)
    if not REGISTRY_HOST.fullmatch(registry):
        raise _invalid(untrusted, "a registry is HOST or HOST:PORT")
    if not _PATH.fullmatch(repository):
        raise _invalid(untrusted, "a path is lower-case letters and digits, with /, ., _ and -")
    if len(registry) + len(repository) >= NAME_LENGTH_MAX:
        raise _invalid(untrusted, f"it is longer than {NAME_LENGTH_MAX} characters")
    return Reference(
        registry=registry,
        repository=repository,
        tag=tag or (None if digest else DEFAULT_TAG),
        digest=digest or None,
    )


def _split_name(name: str) -> tuple[str, str]:
    """Return registry and repository."""
    first, slash, rest = name.partition("/")
    if not slash or not _is_registry(first):
        first, rest = DOCKER_HUB, name
    if first in (f"index.{DOCKER_HUB}", DOCKER_HUB_API):
        first = DOCKER_HUB
    if first == DOCKER_HUB and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def _is_registry(word: str) -> bool:
    return "." in word or ":" in word or word == "localhost" or word != word.lower()


def _require_digest(reference: str, untrusted: str) -> str:
    try:
        return parse_digest(untrusted)
    except (ImageInvalid, ImageUnsupported) as error:
        raise _invalid(reference, "a digest is sha256: and 64 hex digits") from error


def _invalid(untrusted: str, why: str) -> ReferenceInvalid:
    return ReferenceInvalid(f"{untrusted[:100]!r} is not an image of a registry: {why}.")
