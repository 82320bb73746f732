"""Talking to one repository of one registry: manifests, and blobs into the cache.

A session remembers how it is let in. Each request is tried again as `retries` says; a 401 in
between (a token that ran out) is answered once for each attempt. All that comes is checked against
the digest that asked for it.

Blocking work runs in the session's threads. Locks: the caller holds L4 with a blob's digest
while `download` runs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from banger.errors import (
    ImageInvalid,
    ImageNotFound,
    RegistryMisbehaved,
    RegistryUnreachable,
)
from banger.host.http.abort import in_thread
from banger.host.http.client import Client
from banger.images.content import (
    INDEX_TYPES,
    MANIFEST_BYTES_MAX,
    MANIFEST_TYPES,
    Descriptor,
    parse_digest,
)
from banger.images.registry.authorization import authorize, deny
from banger.images.registry.blobs import PartialBlob, open_partial
from banger.images.registry.credentials import Credentials, find_credentials
from banger.images.registry.responses import Missing, Unauthorized, require_success
from banger.images.registry.retries import retried
from banger.layout import Layout

if TYPE_CHECKING:
    from banger.host.http.exchange import Answer

READ_BYTES = 256 * 1024
ACCEPTED = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))

T = TypeVar("T")
Count = Callable[[int], None]
"""Told how many bytes of a blob are there; from a thread."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where a repository is served."""

    registry: str
    """Whose credentials are used: `docker.io`."""
    base: str
    """`https://registry-1.docker.io`."""
    repository: str
    """With a mirror's own path in front, if it has one."""

    @property
    def scheme(self) -> str:
        return self.base.partition(":")[0]


class Document(Struct, frozen=True, kw_only=True):
    """A manifest, an index or a configuration, as bytes that have the digest."""

    untrusted: bytes
    digest: str
    media_type: str | None


@dataclass
class Session:
    """A conversation about one repository."""

    endpoint: Endpoint
    threads: Executor
    client: Client
    environ: Mapping[str, str]
    """The caller's, with Docker's configuration."""
    _authorization: str | None = None
    _entry: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the way in is asked for: requests side by side ask once."""

    async def fetch_manifest(self, wanted: str) -> Document:
        """Return the manifest or index under a tag or a digest.

        Raises:
            ImageNotFound: there is none.
            ImageInvalid: it is not what the digest says.
            RegistryDenied, RegistryUnreachable, RegistryMisbehaved: as they say.
        """
        endpoint = self.endpoint

        def read(answer: Answer) -> Document:
            require_success(answer, 200)
            untrusted = answer.read_whole(MANIFEST_BYTES_MAX)
            kind = (answer.header("Content-Type") or "").partition(";")[0].strip().lower()
            digest = f"sha256:{hashlib.sha256(untrusted).hexdigest()}"
            # Registries of files know no kinds; then the document says which it is.
            is_known = kind not in ("", "text/plain", "application/json")
            return Document(
                untrusted=untrusted, digest=digest, media_type=kind if is_known else None
            )

        async def attempt() -> Document:
            return await self._ask(f"manifests/{wanted}", {"Accept": ACCEPTED}, read)

        try:
            document = await retried(attempt)
        except Missing as error:
            raise ImageNotFound(
                f"{endpoint.registry} has no {wanted} of {endpoint.repository}."
            ) from error
        if ":" in wanted and document.digest != parse_digest(wanted):
            raise ImageInvalid(f"What came as {wanted} is something else.")
        return document

    async def download(self, layout: Layout, wanted: Descriptor, count: Count) -> Path:
        """Bring a blob into the cache, going on from a partial one, and return its file.

        Raises:
            ImageInvalid: what came is not what the digest says.
            NoSpace: the cache's file system is full.
            RegistryDenied, RegistryUnreachable, RegistryMisbehaved: as they say.
        """
        async with open_partial(layout, wanted) as partial:
            before = partial.size

            def has_progressed() -> bool:
                nonlocal before
                grown = partial.size > before
                before = partial.size
                return grown

            async def attempt() -> None:
                await self._continue(partial, wanted, count)

            is_resumed = partial.size > 0
            try:
                await retried(attempt, has_progressed=has_progressed)
                return partial.publish()
            except Missing as error:
                raise RegistryMisbehaved(
                    f"{self.endpoint.registry} lacks {wanted.digest}, which is part of the image."
                ) from error
            except ImageInvalid:
                if not is_resumed:
                    raise
            # What an earlier download left may have been what was wrong.
            before = 0
            await retried(attempt, has_progressed=has_progressed)
            return partial.publish()

    async def _continue(self, partial: PartialBlob, wanted: Descriptor, count: Count) -> None:
        """Ask for what is missing of a blob."""
        if partial.size == wanted.size:
            return

        def read(answer: Answer) -> None:
            if answer.status == 416:  # it does not see how there could be more
                partial.restart()
                raise RegistryUnreachable(f"{answer.host} cannot go on.", retryable=True)
            require_success(answer, 200, 206)
            _take_position(answer, partial, wanted)
            while part := answer.read(READ_BYTES):
                partial.write(part)
                count(partial.size)
            if partial.size < wanted.size:
                raise RegistryUnreachable(f"{answer.host} broke off.", retryable=True)

        headers = {"Range": f"bytes={partial.size}-"} if partial.size else {}
        await self._ask(f"blobs/{wanted.digest}", headers, read)

    async def _ask(self, path: str, headers: Mapping[str, str], read: Callable[[Answer], T]) -> T:
        """Send one request, let in if need be, and return what `read` makes of the answer."""
        url = f"{self.endpoint.base}/v2/{self.endpoint.repository}/{path}"
        used = self._authorization

        def exchange() -> T:
            allowed = {"Authorization": used} if used else {}
            with self.client.open(url, headers={**headers, **allowed}) as answer:
                return read(answer)

        try:
            return await in_thread(self.threads, exchange)
        except Unauthorized as error:
            used = await self._enter(error.headers, used)
        try:
            return await in_thread(self.threads, exchange)
        except Unauthorized as error:
            raise deny(self.endpoint.registry, await self._find_credentials()) from error

    async def _enter(self, untrusted_headers: list[str], used: str | None) -> str:
        """Return an Authorization that is newer than `used`."""
        async with self._entry:
            if self._authorization is None or self._authorization == used:
                credentials = await self._find_credentials()

                def ask() -> str:
                    return authorize(
                        untrusted_headers,
                        registry=self.endpoint.registry,
                        scheme=self.endpoint.scheme,
                        repository=self.endpoint.repository,
                        credentials=credentials,
                        client=self.client,
                    )

                self._authorization = await in_thread(self.threads, ask)
            return self._authorization

    async def _find_credentials(self) -> Credentials | None:
        return await find_credentials(self.endpoint.registry, self.environ)


def _take_position(answer: Answer, partial: PartialBlob, wanted: Descriptor) -> None:
    """Bring the partial blob to where the answer begins, and check what it says of its length."""
    if answer.status == 200:
        partial.restart()
    elif answer.header("Content-Range") != _content_range(partial.size, wanted.size):
        partial.restart()
        raise RegistryUnreachable(f"{answer.host} sends another part.", retryable=True)
    if answer.length is not None and answer.length > wanted.size - partial.size:
        raise ImageInvalid(f"{wanted.digest} is longer than {wanted.size} bytes.")


def _content_range(start: int, size: int) -> str:
    return f"bytes {start}-{size - 1}/{size}"
