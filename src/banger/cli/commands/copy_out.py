"""Copy a file or tree of a VM to this host, or to stdout as an archive.

What comes is hostile: `banger.tar.extract` makes the files (hazard E3).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from collections.abc import Iterator

from banger.cli.app.context import Context
from banger.cli.commands.resume import describe, find_offset_out
from banger.cli.terminal.copying import CopyBar, say_left_out
from banger.cli.terminal.output import printable
from banger.client.relay import Relay
from banger.client.stream import ClientStream
from banger.errors import InvalidRequest, OperationFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.tar.extract import Renamed
    from banger.tar.leftout import LeftOut

Params = dict[str, object]
_TOP = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def copy_archive_out(params: Params, context: Context) -> int:
    """Write the archive of a file or tree to stdout."""
    with context.client() as client:
        stream = client.stream("vm.copy_out", params)
    with contextlib.closing(stream):
        Relay(stream, stdin=None).run()
    return 0


def copy_out(params: Params, target: str, context: Context, *, quiet: bool, resume: bool) -> int:
    """Copy a file or tree of a VM to a local path."""
    from banger.tar.extract import extract

    stream = _start(params, context)
    with contextlib.closing(stream), CopyBar(quiet=quiet) as bar:
        source = _Source(stream)
        if source.kind == "file":
            bar.total = source.size
        directory, name = _plan(source, target)
        with _opened(directory) as top:
            if resume:
                left_out = _go_on(source, params, context, bar, place=(top, name))
            else:
                renamed = source.renamed_to(name)
                done = extract(_content(stream), top, renamed=renamed, on_bytes=bar.add)
                left_out = done.left_out
    say_left_out(left_out, context.say)
    if source.kind == "link" and not quiet:
        leads_to = printable(source.leads_to)
        context.say(f"copied a symbolic link to {leads_to}; -L copies its target")
    return 0


def _start(params: Params, context: Context) -> ClientStream:
    with context.client() as client:
        return client.stream("vm.copy_out", params)


def _go_on(
    source: _Source,
    params: Params,
    context: Context,
    bar: CopyBar,
    *,
    place: tuple[int, str | None],
) -> LeftOut:
    """Copy what is missing of a file after the part that an earlier copy has kept."""
    from banger.tar.extract import extract

    top, name = place
    if source.kind != "file" or name is None:
        raise InvalidRequest(
            f"{source.path} in the VM is not a regular file: --resume copies one file."
        )
    with context.client() as client:
        offset = find_offset_out(
            client,
            params["ref"],
            source.file_path,
            size=source.size,
            top=top,
            name=os.fsencode(name),
        )
    if offset:
        context.say(describe(offset))
        bar.add(offset)
    rest = _start(params | {"offset": offset}, context)
    with contextlib.closing(rest):
        if _Source(rest).state != source.state:
            raise OperationFailed(f"{source.path} in the VM changed while it was copied.")
        renamed = source.renamed_to(name)
        done = extract(_content(rest), top, renamed=renamed, on_bytes=bar.add, part_offset=offset)
    return done.left_out


class _Source:
    """What the daemon says is coming."""

    def __init__(self, stream: ClientStream) -> None:
        started = stream.result
        assert isinstance(started, dict)
        file = started["file"]
        self.path = str(started["path"])
        self.kind = file["kind"]
        self.size = int(file["size"])
        self.file_path = str(file["path"])
        self.state = (self.size, file["modified_at"], self.file_path)
        """Differs when the file does."""
        self.is_directory = self.kind == "directory"
        self.base = os.path.basename(self.path)
        self.leads_to = str(file["target"])
        self.archive_name = str(started["name"])
        """Empty: the archive has the content of the directory."""

    def renamed_to(self, name: str | None) -> Renamed | None:
        """Return what is expected, to be extracted under this name."""
        if name is None:
            return None
        from banger.tar import extract
        from banger.tar import format as tar

        kinds = {"file": tar.FILE, "directory": tar.DIRECTORY, "link": tar.SYMLINK}
        names = os.fsencode(self.archive_name), os.fsencode(name)
        return extract.Renamed(*names, kinds[self.kind])


def _plan(source: _Source, target: str) -> tuple[str, str | None]:
    """Return the local directory to extract into, and the name of the source in it.

    Without a name the content of the source goes there. A target that is a link to a directory is
    that directory, any other link is replaced: an earlier copy may have brought it (hazard E3).

    Raises:
        InvalidRequest: the rules of `docker cp` have no place for it.
    """
    above, base = os.path.split(target.rstrip("/") or "/")
    above = os.path.realpath(above)
    try:
        mode = os.stat(target.rstrip("/") or "/").st_mode
    except FileNotFoundError:
        _require_place(source, target, above)
        if source.archive_name:
            return above, base
        os.mkdir(target)
        return target, None
    if stat.S_ISDIR(mode):
        return target, source.base if source.archive_name else None
    if source.is_directory:
        raise InvalidRequest(f"{source.path} in the VM is a directory, and {target} is a file.")
    if target.endswith("/"):
        raise InvalidRequest(f"{target} is not a directory.")
    if not stat.S_ISREG(mode):
        raise InvalidRequest(f"{target} is a device, a pipe or a socket, not a file to replace.")
    return above, base


def _require_place(source: _Source, target: str, above: str) -> None:
    """Check that a missing target can be made."""
    if target.endswith("/") and not source.is_directory:
        raise InvalidRequest(
            f"There is no directory {target}.", hint=f"mkdir -p {shlex.quote(target)}"
        )
    if not os.path.isdir(above):
        raise InvalidRequest(
            f"There is no directory {above}.", hint=f"mkdir -p {shlex.quote(above)}"
        )


@contextlib.contextmanager
def _opened(directory: str) -> Iterator[int]:
    try:
        fd = os.open(directory, _TOP)
    except OSError as error:
        raise OperationFailed(f"{directory} cannot be written: {error.strerror}.") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _content(stream: ClientStream) -> Iterator[bytes]:
    for _, data in stream:
        yield data
