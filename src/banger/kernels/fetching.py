"""Download a kernel: streamed to disk, bounded, and verified on the way (F3, F5).

Nothing of the file is read before its sha256 has been found right, which the user has from
whoever publishes it. Plain HTTP only if it was asked for, or from this very machine. Writes the
file that the caller names, below a staging directory; no locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from banger.errors import (
    DeadlineExceeded,
    DownloadFailed,
    InvalidRequest,
    RegistryMisbehaved,
    RegistryUnreachable,
)
from banger.host.files import space_errors
from banger.host.http.abort import in_thread
from banger.host.http.client import Client
from banger.host.http.proxies import is_loopback
from banger.kernels.publish import Progress

if TYPE_CHECKING:
    from banger.host.http.exchange import Answer

FILE_BYTES_MAX = 1024**3
DEADLINE_S = 1800.0
READ_BYTES = 256 * 1024
FETCHING = "fetching the kernel"
_SHA256 = re.compile(r"(?:sha256:)?(?P<hex>[0-9a-f]{64})", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True)
class RemoteFile:
    """A file that is to be had at a URL, and what it must be."""

    url: str
    sha256: str

    @property
    def source(self) -> str:
        """What a kernel that is made of it says of where it came from.

        Without the query, which may be a secret (G6): signed addresses are.
        """
        return f"url:{self.url.partition('?')[0]} sha256:{self.sha256}"


def parse_remote(untrusted_url: str, untrusted_sha256: str, *, insecure: bool) -> RemoteFile:
    """Return the file that a user names. Pure.

    Raises:
        InvalidRequest: one of the two has another shape, or the URL may not be asked.
    """
    digest = _SHA256.fullmatch(untrusted_sha256.strip())
    if digest is None:
        raise InvalidRequest(f"{untrusted_sha256[:80]!r} is not a sha256 of 64 hexadecimal digits.")
    url = untrusted_url.partition("#")[0]
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise InvalidRequest(f"{url.partition('?')[0][:200]!r} is not an http or https URL.")
    if parts.username is not None:
        raise InvalidRequest(
            f"The URL of a file on {host} must not contain a user name or a password."
        )
    if parts.scheme == "http" and not (insecure or is_loopback(parts.netloc)):
        raise InvalidRequest(f"The download from {host} would use plain HTTP.", hint="--insecure")
    return RemoteFile(url, digest["hex"].lower())


def propose_name(url: str) -> str:
    """Return a name for the kernel at a URL: that of its file, or `kernel`. Pure.

    A package's name ends where its version begins: `linux-image-x_6.1-1_amd64.deb`.
    """
    file = unquote(urlsplit(url).path).rpartition("/")[2].lower()
    if file.endswith(".deb"):
        file = file.partition("_")[0]
    for ending in (".gz", ".xz", ".zst", ".bz2", ".tar", ".tgz"):
        file = file.removesuffix(ending)
    return _NOT_IN_NAMES.sub("-", file).strip("._-")[:63] or "kernel"


async def fetch_file(
    remote: RemoteFile, target: Path, progress: Progress, *, environ: Mapping[str, str]
) -> None:
    """Download a file; whole and right, or an error. `environ` is the caller's, for its proxies.

    Raises:
        DownloadFailed: it is not to be had, or is not what its sha256 says.
        DeadlineExceeded: it took too long.
        NoSpace: the file system is full.
    """
    loop = asyncio.get_running_loop()

    def tell(done: int, total: int | None) -> None:
        loop.call_soon_threadsafe(progress, FETCHING, done, total)

    progress(FETCHING, None, None)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await in_thread(None, lambda: _fetch(remote, target, tell, environ))
    except TimeoutError as error:
        address = remote.url.partition("?")[0]
        raise DeadlineExceeded(
            f"The download from {address} took longer than {DEADLINE_S:g} s."
        ) from error
    except (RegistryUnreachable, RegistryMisbehaved) as error:
        raise DownloadFailed(error.message, hint=error.hint, retryable=error.retryable) from error


def _fetch(
    remote: RemoteFile,
    target: Path,
    tell: Callable[[int, int | None], None],
    environ: Mapping[str, str],
) -> None:
    with contextlib.closing(Client(environ)) as client, client.open(remote.url) as answer:
        _require_found(answer)
        _require_size(answer, answer.length or 0)
        found, done = hashlib.sha256(), 0
        with space_errors(target), open(target, "xb") as file:
            while part := answer.read(READ_BYTES):
                done += len(part)
                _require_size(answer, done)
                file.write(part)
                found.update(part)
                tell(done, answer.length)
    if found.hexdigest() != remote.sha256:
        raise DownloadFailed(
            f"The file that {answer.host} sent does not have the requested sha256.",
            details=(f"requested  sha256:{remote.sha256}\nreceived   sha256:{found.hexdigest()}"),
        )


def _require_found(answer: Answer) -> None:
    if answer.status != 200:
        words = {status.value: status.phrase for status in http.HTTPStatus}
        raise DownloadFailed(
            f"{answer.host} answers {answer.status} {words.get(answer.status, '')}".rstrip() + ".",
            retryable=answer.status in (408, 429) or answer.status >= 500,
        )


def _require_size(answer: Answer, size: int) -> None:
    if size > FILE_BYTES_MAX:
        raise DownloadFailed(f"{answer.host} sends more than {FILE_BYTES_MAX} bytes.")
