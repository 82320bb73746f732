"""The program that reads layers: `python -m banger.images.layers`, started by `program`.

A process of its own: it can be killed at any moment, its memory is its own and bounded, and
parsing hundreds of thousands of headers holds nobody up. See `messages` for what it reads
and writes. It keeps no file and no state; if it dies, the root's writer meets the end of its input.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from banger.errors import BangerError, ImageInvalid
from banger.images.layers.archive import open_archive
from banger.images.layers.messages import Failure, Job, LayerLine, Message, Progress
from banger.images.layers.work import Contents, Layer, open_blob, write_layers
from banger.model.jsontext import decode_json

MEMORY_MAX = 512 * 2**20
"""What `limits` allows takes less than 150 MiB; beyond this, the program fails alone."""


def main() -> int:
    """Do one job; return the exit status."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MAX, MEMORY_MAX))
    gc.disable()  # the tree is one large web of objects that live until the end
    try:
        _do(decode_json(sys.stdin.buffer.readline(), Job))
    except BangerError as error:
        _say(Failure(error.code, error.message, error.hint))
    except MemoryError:
        _say(Failure(ImageInvalid.code, "Reading the layers exceeded the memory limit."))
    except BrokenPipeError:
        pass  # the root's writer has ended, and says why
    else:
        return 0
    return 1


def _do(job: Job) -> None:
    if job.archive is None:
        contents = Contents(_named_layers(), None, None)
    else:
        contents = open_archive(job.archive, staged=Path(job.staged), report=_report)
    config = contents.config
    result = write_layers(
        contents.layers,
        sys.stdout.fileno(),
        staged=Path(job.staged),
        workdir=config.working_dir if config else job.workdir,
        report=_report,
        stores=job.stores,
    )
    _say(msgspec.structs.replace(result, config=config, tag=contents.tag))


def _named_layers() -> Iterator[Layer]:
    for line in sys.stdin.buffer:
        layer = decode_json(line, LayerLine)
        yield Layer(open_blob(layer.path), layer.diff_id)


def _report(stage: str, done: int | None, total: int | None) -> None:
    _say(Progress(stage, done, total))


def _say(message: Message) -> None:
    os.write(2, msgspec.json.encode(message) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
