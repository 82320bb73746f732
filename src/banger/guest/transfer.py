"""Copy trees into and out of the guest as tar streams, and stat one file.

Owns the stream of each transfer. A hostile guest may forge the archive that it sends: the
code that unpacks an archive checks it (hazards E1, E3).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from banger.errors import Conflict, GuestPathNotFound, GuestProtocolError, GuestRefused
from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection
from banger.guest.deadlines import deadline
from banger.guest.fields import Fields, Tag, encode_fields, name, u64
from banger.guest.outdated import explain_outdated
from banger.guest.stream import BATCH_BYTES, Request, Stream

EMPTY_FIRST_FLAG = 1
KEEP_FLAG = 2
ALONE_FLAG = 1
ALONE_BYTES = BATCH_BYTES // 4
"""A chunk of this size is sent without waiting for more."""
DIGEST_BYTES = 32
REFUSALS = {"not-found": GuestPathNotFound}


@dataclass(frozen=True)
class Transferred:
    """The agent's count of a transfer."""

    entries: int
    bytes: int


@dataclass(frozen=True)
class GuestStat:
    """The result of lstat(2) in the guest.

    `mode` is the whole st_mode; `untrusted_target` is a symbolic link's.
    """

    mode: int
    size: int
    mtime_ns: int
    uid: int
    gid: int
    untrusted_target: bytes | None


async def tar_in(
    connection: GuestConnection,
    path: bytes,
    chunks: AsyncIterator[bytes],
    *,
    deadline_s: float | None,
    empty_first: bool = False,
    owner: tuple[int, int] | None = None,
    part_offset: int | None = None,
) -> Transferred:
    """Unpack a tar stream below `path`; `owner` (uid, gid) replaces the archive's owners.

    `part_offset`: the archive has one file, without its first so many bytes; they are in its part
    (`banger.tar.parts`) beside it, which stays if the transfer breaks off.

    If `chunks` raises or the call is cancelled, the agent stops, and files unpacked so far
    stay. If the agent or the guest fails, the call ends at once, whether `chunks` yields or not.
    The caller closes `chunks`.

    Raises:
        GuestRefused: `bad-archive`, `unsafe-path`, `io` (also a full disk).
        Conflict: another transfer has the part.
    """
    what = f"copying into {_shown(path)} of the guest"
    flags = EMPTY_FIRST_FLAG * empty_first + KEEP_FLAG * (part_offset is not None)
    fields = [(Tag.PATH, name(path)), (Tag.FLAGS, u64(flags))]
    if part_offset:
        fields.append((Tag.OFFSET, u64(part_offset)))
    if owner is not None:
        fields += [(Tag.UID, u64(owner[0])), (Tag.GID, u64(owner[1]))]
    request = Request(Kind.TAR_IN, what, encode_fields(fields), REFUSALS)
    async with deadline(what, deadline_s), await connection.open_stream(request) as stream:
        sender = asyncio.create_task(_send_all(stream, chunks))
        answer = asyncio.create_task(stream.result())
        try:
            await asyncio.wait({sender, answer}, return_when=asyncio.FIRST_EXCEPTION)
            if sender.done():
                sender.result()
            return _parse_transferred(answer.result())
        except GuestRefused as error:
            if part_offset is None:
                raise
            if error.guest_code == "in-use":
                raise Conflict(
                    f"Another copy of this file into {_shown(path)} of the guest is under way.",
                    retryable=True,
                ) from error
            raise explain_outdated(error, "resume a copy") from error
        finally:
            sender.cancel()
            answer.cancel()
            await asyncio.gather(sender, answer, return_exceptions=True)


@contextlib.asynccontextmanager
async def tar_out(
    connection: GuestConnection,
    path: bytes,
    names: Sequence[bytes] = (),
    *,
    deadline_s: float | None,
    offset: int = 0,
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Pack `path`, or only `names` below it, and yield an iterator of the archive's bytes.

    Files come without their first `offset` bytes.

    The iterator ends only after the agent has confirmed that the archive is complete. The
    deadline covers the whole block; leaving the block early gives the transfer up.

    Raises:
        GuestPathNotFound: there is no such file.
        GuestRefused: the agent could not read all files.
    """
    what = f"copying {_shown(path)} out of the guest"
    fields = [(Tag.PATH, name(path)), *((Tag.NAME, name(each)) for each in names)]
    if offset:
        fields.append((Tag.OFFSET, u64(offset)))
    request = Request(Kind.TAR_OUT, what, encode_fields(fields), REFUSALS)
    async with deadline(what, deadline_s), await connection.open_stream(request) as stream:
        yield _received(stream)


@contextlib.asynccontextmanager
async def root_out(
    connection: GuestConnection, natives: Sequence[bytes], *, deadline_s: float
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Like `tar_out` of the guest's root, without the file systems mounted in it but `natives`.

    Raises:
        GuestRefused: the agent could not read all files, or is too old for this request.
    """
    what = "reading the guest's root"
    fields = [(Tag.PATH, name(b"/")), (Tag.FLAGS, u64(ALONE_FLAG))]
    fields += [(Tag.NATIVE, name(native)) for native in natives]
    request = Request(Kind.TAR_OUT, what, encode_fields(fields))
    try:
        async with deadline(what, deadline_s), await connection.open_stream(request) as stream:
            yield _received(stream)
    except GuestRefused as error:
        if error.guest_code != "bad-request":
            raise
        raise GuestRefused(
            "The VM was created by an older banger, whose agent cannot read the whole root "
            "file system.",
            hint="banger vm create",
        ) from error


async def stat(connection: GuestConnection, path: bytes, *, deadline_s: float) -> GuestStat:
    """Stat one file of the guest.

    Raises:
        GuestPathNotFound: there is no such file.
    """
    what = f"looking at {_shown(path)} of the guest"
    request = Request(Kind.STAT, what, encode_fields([(Tag.PATH, name(path))]), REFUSALS)
    fields = await connection.ask(request, deadline_s=deadline_s)
    return GuestStat(
        mode=fields.u64(Tag.MODE, most=0xFFFFFFFF),
        size=fields.u64(Tag.SIZE, most=2**63 - 1),
        mtime_ns=fields.i64(Tag.MTIME_NS),
        uid=fields.u64(Tag.UID, most=0xFFFFFFFF),
        gid=fields.u64(Tag.GID, most=0xFFFFFFFF),
        untrusted_target=fields.find(Tag.TARGET),
    )


async def checksum(connection: GuestConnection, path: bytes, size: int) -> bytes:
    """Return the BLAKE2b digest (32 bytes) of the first `size` bytes of a file of the guest.

    Waits as long as it takes.

    Raises:
        GuestPathNotFound: there is no such file.
        GuestRefused: it is shorter, or no regular file, or the agent is too old.
    """
    what = f"reading {_shown(path)} of the guest"
    fields = encode_fields([(Tag.PATH, name(path)), (Tag.SIZE, u64(size))])
    request = Request(Kind.CHECKSUM, what, fields, REFUSALS)
    try:
        async with await connection.open_stream(request) as stream:
            untrusted_digest = (await stream.result()).find(Tag.DIGEST)
    except GuestRefused as error:
        raise explain_outdated(error, "resume a copy") from error
    if untrusted_digest is None or len(untrusted_digest) != DIGEST_BYTES:
        raise GuestProtocolError("The guest sent an invalid digest.")
    return untrusted_digest


async def _send_all(stream: Stream, chunks: AsyncIterator[bytes]) -> None:
    """Send the chunks and EOF. Stop early if the agent has answered, which means it failed."""
    held: list[bytes] = []
    size = 0
    async for chunk in chunks:
        if not held and len(chunk) >= ALONE_BYTES:
            if not await stream.write(chunk):
                return
            continue
        held.append(chunk)
        size += len(chunk)
        # Tar writers yield 512-byte headers and 10 KiB blocks; a frame for each costs too much.
        if size >= BATCH_BYTES:
            if not await stream.write(b"".join(held)):
                return
            held, size = [], 0
    if await stream.write(b"".join(held)):
        await stream.write_eof()


async def _received(stream: Stream) -> AsyncIterator[bytes]:
    while (taken := await stream.read()) is not None:
        yield taken[1]
    _parse_transferred(await stream.result())


def _parse_transferred(fields: Fields) -> Transferred:
    return Transferred(fields.u64(Tag.ENTRIES), fields.u64(Tag.BYTES))


def _shown(path: bytes) -> str:
    return ascii(path.decode("utf-8", "replace"))[1:-1][:200]
