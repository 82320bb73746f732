"""Fetch manifests from one repository of one registry, and download its blobs into the cache.

A client keeps its authorization. Each request is retried as `retries` says; a 401, as when a token
has expired, is answered with a new authorization once per attempt. Every document and blob is
checked against its digest.

Blocking work runs in the client's threads. Locks: the caller holds L4 with a blob's digest
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
from banger.images.registry.blobs import PartialBlob, open_partial, too_long
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
"""Called from a thread with the number of bytes of a blob that are there."""


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
class RepositoryClient:
    """A client of one repository at one endpoint."""

    endpoint: Endpoint
    threads: Executor
    client: Client
    environ: Mapping[str, str]
    """The caller's environment, which says where Docker's configuration is."""
    _authorization: str | None = None
    _entry: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while an authorization is requested: concurrent requests share it."""

    async def fetch_manifest(self, wanted: str) -> Document:
        """Return the manifest or index under a tag or a digest.

        Raises:
            ImageNotFound: the repository has no such manifest.
            ImageInvalid: the content does not match the digest.
            RegistryDenied, RegistryUnreachable, RegistryMisbehaved: as they say.
        """
        endpoint = self.endpoint

        def read(answer: Answer) -> Document:
            require_success(answer, 200)
            untrusted = answer.read_whole(MANIFEST_BYTES_MAX)
            kind = (answer.header("Content-Type") or "").partition(";")[0].strip().lower()
            digest = f"sha256:{hashlib.sha256(untrusted).hexdigest()}"
            # Registries that are plain file servers send no type; then the document names its own.
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
                f"The registry {endpoint.registry} has no {wanted} of {endpoint.repository}."
            ) from error
        if ":" in wanted and document.digest != parse_digest(wanted):
            raise ImageInvalid(f"The content of the manifest {wanted} does not match its digest.")
        return document

    async def download(self, layout: Layout, wanted: Descriptor, count: Count) -> Path:
        """Download a blob into the cache, resuming a partial download, and return its file.

        Raises:
            ImageInvalid: the content does not match the digest.
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
                    f"{self.endpoint.registry} lacks the blob {wanted.digest} of the image."
                ) from error
            except ImageInvalid:
                if not is_resumed:
                    raise
            # The earlier download may have been damaged: start from nothing.
            before = 0
            await retried(attempt, has_progressed=has_progressed)
            return partial.publish()

    async def _continue(self, partial: PartialBlob, wanted: Descriptor, count: Count) -> None:
        """Request the missing part of a blob."""
        if partial.size == wanted.size:
            return

        def read(answer: Answer) -> None:
            if answer.status == 416:  # the registry says that the range is past the end
                partial.restart()
                raise RegistryUnreachable(
                    f"{answer.host} cannot resume the download.", retryable=True
                )
            require_success(answer, 200, 206)
            _take_position(answer, partial, wanted)
            while part := answer.read(READ_BYTES):
                partial.write(part)
                count(partial.size)
            if partial.size < wanted.size:
                raise RegistryUnreachable(
                    f"{answer.host} closed the connection during a download.", retryable=True
                )

        headers = {"Range": f"bytes={partial.size}-"} if partial.size else {}
        await self._ask(f"blobs/{wanted.digest}", headers, read)

    async def _ask(self, path: str, headers: Mapping[str, str], read: Callable[[Answer], T]) -> T:
        """Send one request, authorized if necessary, and return what `read` makes of the answer."""
        url = f"{self.endpoint.base}/v2/{self.endpoint.repository}/{path}"
        used = self._authorization

        def exchange() -> T:
            allowed = {"Authorization": used} if used else {}
            with self.client.open(url, headers={**headers, **allowed}) as answer:
                return read(answer)

        try:
            return await in_thread(self.threads, exchange)
        except Unauthorized as error:
            used = await self._renew_authorization(error.headers, used)
        try:
            return await in_thread(self.threads, exchange)
        except Unauthorized as error:
            raise deny(self.endpoint.registry, await self._find_credentials()) from error

    async def _renew_authorization(self, untrusted_headers: list[str], used: str | None) -> str:
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
    """Set the partial blob to where the answer begins, and check the announced length."""
    if answer.status == 200:
        partial.restart()
    elif answer.header("Content-Range") != _content_range(partial.size, wanted.size):
        partial.restart()
        raise RegistryUnreachable(
            f"{answer.host} sent a different range than requested.", retryable=True
        )
    if answer.length is not None and answer.length > wanted.size - partial.size:
        raise too_long(wanted)


def _content_range(start: int, size: int) -> str:
    return f"bytes {start}-{size - 1}/{size}"
