"""Copy a local file or tree, or an archive from stdin, into a VM."""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat

from banger.cli.app.context import Context
from banger.cli.commands.resume import describe, find_offset_in
from banger.cli.terminal.copying import CopyBar, say_left_out
from banger.client import Client
from banger.client.relay import Relay
from banger.client.upload import upload
from banger.errors import GuestPathNotFound, InvalidRequest

Params = dict[str, object]
STDIN = 0


def copy_archive_in(params: Params, context: Context) -> int:
    """Extract the archive on stdin into a directory of the VM."""
    with context.client() as client:
        stream = client.stream("vm.copy_in", params)
    with contextlib.closing(stream):
        Relay(stream, stdin=STDIN).run()
    return 0


def copy_in(
    source: str, params: Params, context: Context, *, follow: bool, quiet: bool, resume: bool
) -> int:
    """Copy a local file or tree into a VM."""
    from banger.tar.pack import Packing, measure

    place = _Source(source, follow=follow)
    if resume and not place.is_file:
        raise InvalidRequest(f"{source} is not a regular file: --resume copies one file.")
    with context.client() as client:
        directory, name = _plan(client, params, place)
        offset = 0
        if resume and name is not None:
            offset = find_offset_in(client, params["ref"], directory, name, place.path)
            params = params | {"part_offset": offset}
        stream = client.stream("vm.copy_in", params | {"path": directory})
    if offset:
        context.say(describe(offset))
    packing = Packing(keep_owners=params["keep_owners"] is True, offset=offset)
    chunks = packing.chunks(place.path, name)
    with contextlib.closing(stream), contextlib.closing(chunks), CopyBar(quiet=quiet) as bar:
        if bar.is_live:
            bar.total = measure(place.path)
            bar.add(offset)
        upload(stream, chunks, on_sent=bar.add)
    say_left_out(packing.left_out, context.say)
    return 0


class _Source:
    """A local path. `path` ends with a slash if a link at it is followed."""

    def __init__(self, typed: str, *, follow: bool) -> None:
        base = os.path.basename(typed)
        self.typed = typed
        self.is_content = base == "."
        status = _stat(typed, follow=follow or base in ("", ".", ".."))
        self.is_directory = stat.S_ISDIR(status.st_mode)
        self.is_file = stat.S_ISREG(status.st_mode)
        # The final slash: what is a directory now is not followed if it becomes a link.
        self.path = os.fsencode(os.path.realpath(typed) if follow else typed)
        self.name = os.fsencode(os.path.basename(os.path.abspath(typed)))
        if base == "" and not self.is_directory:
            raise InvalidRequest(f"{typed} is not a directory.")


def _stat(path: str, *, follow: bool) -> os.stat_result:
    try:
        return os.stat(path, follow_symlinks=follow)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error


def _plan(client: Client, params: Params, source: _Source) -> tuple[str, bytes | None]:
    """Return the directory of the VM to extract into, and the source's name in it.

    Without a name the content of the source goes there.

    Raises:
        InvalidRequest: the rules of `docker cp` have no place for it.
    """
    typed = str(params["path"])
    try:
        found = client.call("vm.stat_file", {"ref": params["ref"], "path": typed, "follow": True})
    except GuestPathNotFound:
        if typed.endswith("/") and not source.is_directory:
            raise
        above, base = posixpath.split(typed.rstrip("/"))
        return above, os.fsencode(base)
    path, kind = str(found["path"]), found["kind"]
    if kind == "directory":
        is_content = source.is_content and source.is_directory
        return path, None if is_content else source.name
    if source.is_directory:
        raise InvalidRequest(f"{source.typed} is a directory, and {path} in the VM is a file.")
    if typed.endswith("/") or kind != "file":
        raise InvalidRequest(f"{path} in the VM is not a directory or a regular file.")
    above, base = posixpath.split(path)
    return above, os.fsencode(base)
