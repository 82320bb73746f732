"""The daemon's side of an image made from layers: start the two programs, listen, publish.

    layers' files --> python -m banger.images.layers --(tar)--> sqfstar --> root.squashfs

The stream goes from one program to the other; only words come here. Everything lies in one
staging directory, and a rename publishes it (A7-A9). No locks: the engine has one per name. A
cancellation kills both programs and removes what was staged; if we die they meet a closed
pipe, and the directory is emptied at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from banger.errors import (
    BangerError,
    ImageInvalid,
    ImageUnsupported,
    InvalidRequest,
    NoSpace,
    ToolFailed,
)
from banger.host.files import staged_dir
from banger.host.programs import piped
from banger.images.content import ImageConfig, LayerBlob
from banger.images.layers.messages import Failure, Job, LayerLine, Message, Result
from banger.images.layers.messages import Progress as Told
from banger.images.local import ROOT, require_image_name
from banger.images.publish import Progress, publish_image
from banger.images.rootinode import RootInode
from banger.images.rootwriter import RootWriter, open_root_writer, require_root_writer
from banger.layout import Layout
from banger.model.artifacts import Image, ImageDraft, ImageLayer
from banger.model.jsontext import encode_json

_ERRORS: dict[str, type[BangerError]] = {
    error.code: error for error in (ImageInvalid, ImageUnsupported, InvalidRequest, NoSpace)
}
_MESSAGES: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_LINE_BYTES_MAX = 32 * 1024 * 1024
"""A result holds the image's configuration."""
_TAIL_BYTES = 4096
ROOT_USERS = ("root", "0", "root:root", "0:0")
"""The default in any case; and an image without /etc/passwd has no user called root."""


async def make_image(
    layout: Layout,
    layers: Sequence[LayerBlob] | AsyncIterator[LayerBlob],
    config: ImageConfig,
    *,
    name: str,
    source: str,
    signed_by: str = "",
    progress: Progress,
    now: float,
) -> Image:
    """Make an image of layers that are on this host, the lowest first, and publish it.

    Layers that come one by one are read while the next is on its way.

    Raises:
        ImageInvalid, ImageUnsupported: a layer is not what it should be, or cannot be kept.
        ToolMissing, ToolFailed, NoSpace: the root cannot be written.
    """
    require_root_writer()
    with staged_dir(layout.staging, prefix="image") as staged:
        job = Job(staged=str(staged), workdir=config.working_dir)
        taken: list[ImageLayer] = []
        result = await write_root(job, _lines(layers, taken), staged, progress)
        draft = _describe(config, result, name=name, source=source, now=now)
        draft = msgspec.structs.replace(draft, layers=tuple(taken), signed_by=signed_by)
        return await publish_image(layout, staged, draft, root_inode(result), progress)


async def import_image(
    layout: Layout, path: Path, *, name: str | None, progress: Progress, now: float
) -> Image:
    """Make an image of a file, a directory or a pipe (`archive`), and publish it.

    Without a name it gets the archive's own, else the file's.

    Raises:
        InvalidRequest: the path cannot be read, or has no usable name.
        ImageInvalid, ImageUnsupported, ToolMissing, ToolFailed, NoSpace: as `make_image`.
    """
    require_root_writer()
    if name is not None:
        require_image_name(name)
    with staged_dir(layout.staging, prefix="image") as staged:
        job = Job(staged=str(staged), archive=str(path))
        result = await write_root(job, _lines((), []), staged, progress)
        draft = _describe(
            result.config,
            result,
            name=require_image_name(name or _familiar(result.tag) or path.name.partition(".")[0]),
            source=f"file:{path.name}" if path.is_file() or path.is_dir() else "file:-",
            now=now,
        )
        return await publish_image(layout, staged, draft, root_inode(result), progress)


def _describe(
    config: ImageConfig | None, result: Result, *, name: str, source: str, now: float
) -> ImageDraft:
    draft = ImageDraft(
        name=name,
        created_at=now,
        init=result.init,
        has_programs=result.has_programs,
        source=source,
    )
    if config is None:
        return draft
    return msgspec.structs.replace(
        draft,
        env=config.env,
        workdir=config.working_dir,
        user="" if config.user in ROOT_USERS else config.user,
        entrypoint=config.entrypoint,
        cmd=config.cmd,
        labels=config.labels,
        stop_signal=config.stop_signal,
        platform=str(config.platform),
    )


def _familiar(tag: str | None) -> str | None:
    """Return a tag as people write it: `busybox:1` for `docker.io/library/busybox:1`."""
    return tag and tag.removeprefix("docker.io/").removeprefix("library/")


def root_inode(result: Result) -> RootInode:
    """Return what the root directory is to be."""
    return RootInode(mode=result.mode, uid=result.uid, gid=result.gid, mtime=result.mtime)


async def write_root(
    job: Job, layers: AsyncIterator[LayerLine], staged: Path, progress: Progress
) -> Result:
    """Write the root that the layers make into `staged`, and return what was found in it.

    Raises:
        ImageInvalid, ImageUnsupported: a layer is not what it should be, or cannot be kept.
        InvalidRequest: what the job names cannot be read.
        ToolFailed, NoSpace: the root cannot be written.
    """
    async with open_root_writer(staged / ROOT) as writer:
        result = await _read_layers(job, layers, writer, progress)
        await writer.finish()
        return result


async def _read_layers(
    job: Job, layers: AsyncIterator[LayerLine], writer: RootWriter, progress: Progress
) -> Result:
    """Run the program that reads layers to its end; what it writes goes to `writer`.

    Raises:
        ToolFailed, NoSpace: it ended because the root's writer had, or by a bug of ours.
    """
    # -P: the directory that the daemon happens to be in must not be imported from.
    argv = [sys.executable, "-P", "-m", "banger.images.layers"]
    async with piped(argv, stdout=writer.sink, env=_environment()) as process:
        writer.close()
        assert process.stdin and process.stderr
        feeder = asyncio.create_task(_feed(process.stdin, job, layers))
        hearer = asyncio.create_task(_hear(process.stderr, progress))
        try:
            await asyncio.wait({feeder, hearer}, return_when=asyncio.FIRST_EXCEPTION)
            if feeder.done():
                feeder.result()
            outcome = await hearer
            status = await process.wait()
        finally:
            feeder.cancel()
            hearer.cancel()
            await asyncio.gather(feeder, hearer, return_exceptions=True)
    if isinstance(outcome, Result) and status == 0:
        return outcome
    if isinstance(outcome, Failure):
        raise _ERRORS[outcome.code](outcome.message, hint=outcome.hint)
    await writer.finish()
    said = outcome.decode("utf-8", "replace") if isinstance(outcome, bytes) else ""
    raise ToolFailed(f"The layer reader failed with status {status}.", details=said)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}


async def _feed(stdin: asyncio.StreamWriter, job: Job, layers: AsyncIterator[LayerLine]) -> None:
    """Tell the program its job, and each layer when it is there."""
    # It may end early; its own words say why.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await _tell(stdin, job)
        async for layer in layers:
            await _tell(stdin, layer)
        stdin.close()
        await stdin.wait_closed()


async def _tell(stdin: asyncio.StreamWriter, line: Job | LayerLine) -> None:
    stdin.write(encode_json(line) + b"\n")
    await stdin.drain()


async def _lines(
    layers: Sequence[LayerBlob] | AsyncIterator[LayerBlob], taken: list[ImageLayer]
) -> AsyncIterator[LayerLine]:
    """Yield what the program is told of each layer; `taken` gets what is kept of it."""
    async for layer in _one_by_one(layers):
        taken.append(ImageLayer(digest=layer.digest, size_bytes=layer.size))
        yield LayerLine(path=str(layer.path), diff_id=layer.diff_id)


async def _one_by_one(
    layers: Sequence[LayerBlob] | AsyncIterator[LayerBlob],
) -> AsyncIterator[LayerBlob]:
    if isinstance(layers, Sequence):
        for layer in layers:
            yield layer
    else:
        async for layer in layers:
            yield layer


async def _hear(stderr: asyncio.StreamReader, progress: Progress) -> Result | Failure | bytes:
    """Return the program's last message, or the end of what it said that was none."""
    last: Result | Failure | None = None
    rest = tail = b""
    while chunk := await stderr.read(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[-_LINE_BYTES_MAX:]
        for line in lines:
            message = _parse_message(line)
            if message is None:
                tail = (tail + line + b"\n")[-_TAIL_BYTES:]
            elif isinstance(message, Told):
                progress(message.stage, message.done, message.total)
            else:
                last = message
    return tail if last is None else last


def _parse_message(line: bytes) -> Message | None:
    try:
        return _MESSAGES.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None  # a traceback
