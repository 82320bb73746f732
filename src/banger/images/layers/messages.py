"""What the daemon and the program that reads layers say to each other. Pure.

The daemon writes lines of JSON to the program's stdin: a Job, then one LayerLine for each layer,
the lowest first, as soon as it is on this host; the end of the input is the end of the layers.
The program writes the merged tar to its stdout, and lines of JSON to stderr: Progress, and last
a Result or a Failure.
"""

from __future__ import annotations

from msgspec import Struct

from banger.images.content import ImageConfig


class Job(Struct, frozen=True, kw_only=True, tag="job"):
    """What is to be read. With `archive` the layers are found in it, and no lines follow."""

    staged: str
    """A private directory on the file system that the root is written to."""
    archive: str | None = None
    workdir: str = ""
    """A directory that the root is to have, from the image's configuration."""
    stores: tuple[str, ...] = ()
    """Directories that may hold what overlayfs would obey: guests have them beside the overlay."""


class LayerLine(Struct, frozen=True, kw_only=True, tag="layer"):
    """One layer: a file that holds it whole."""

    path: str
    diff_id: str | None = None
    """Digest of its tar; None: nobody has said it."""


class Progress(Struct, frozen=True, tag="progress"):
    """How far the work is, in bytes of content."""

    stage: str
    done: int | None = None
    total: int | None = None


class Result(Struct, frozen=True, kw_only=True, tag="result"):
    """What was found, when the whole stream has been written."""

    mode: int
    uid: int
    gid: int
    mtime: int
    """Of the root directory."""
    init: str | None
    has_programs: bool
    config: ImageConfig | None = None
    """Of an archive that is an image."""
    tag: str | None = None
    """The name that an archive has for its image."""


class Failure(Struct, frozen=True, tag="failure"):
    """Why nothing came of it: an error of ours."""

    code: str
    message: str
    hint: str | None = None


Message = Progress | Result | Failure
