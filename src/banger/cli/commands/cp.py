"""`vm cp`: what is copied where, by the rules of `docker cp`."""

from __future__ import annotations

import os
import shlex
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.commands.copy_in import copy_archive_in, copy_in
from banger.cli.commands.copy_out import copy_archive_out, copy_out
from banger.cli.options.targets import each_target

STREAM = "-"

_TEXT = (
    "Either SRC or DST is a path in a VM, written VM:PATH. A relative PATH starts at\n"
    "the VM's workspace, or at its user's home if there is none; ~/PATH always starts\n"
    "at that home. Write a local path that contains a colon as ./PATH.\n"
    "\n"
    "The rules are those of docker cp:\n"
    "  DST is missing             SRC gets that name; its parent must exist\n"
    "  DST is a directory         SRC is copied into it, under its own name\n"
    "  DST ends with /            DST must be a directory\n"
    "  SRC ends with /.           the content of the directory SRC is copied\n"
    "  SRC or DST is -            a tar archive from stdin, or to stdout\n"
    "  several SRC                DST must be a directory\n"
    "\n"
    "Modes, times and links are kept. Files copied into a VM are owned by root.\n"
    "Nothing is written outside DST, whatever the VM sends: devices, pipes and setuid\n"
    "bits are left out, and existing links are not followed. Directories whose\n"
    "content the VM's kernel generates, such as /proc and /sys, are copied empty."
)


class VmPath:
    """A path in a VM, as typed."""

    __slots__ = ("path", "vm")

    def __init__(self, vm: str, path: str) -> None:
        self.vm = vm
        self.path = path


def parse_place(text: str) -> VmPath | str:
    """Return `VM:PATH` parsed, or a local path unchanged: one with a slash before any colon."""
    vm, colon, path = text.partition(":")
    return VmPath(vm, path) if colon and vm and "/" not in vm and vm != "." else text


def _configure(parser: Parser) -> None:
    add = parser.add_argument
    add("sources", nargs="+", metavar="SRC", help="what to copy; VM:PATH, a local path, or -")
    add("target", metavar="DST", help="target; VM:PATH, a local path, or -")
    add(
        "-a",
        "--archive",
        action="store_true",
        help="keep numeric owners when copying into a VM",
    )
    add("-L", "--follow-link", action="store_true", help="follow SRC if it is a symbolic link")
    add(
        "--resume",
        action="store_true",
        help="for one file: keep what an interrupted copy has written, and continue there the "
        "next time",
    )
    add("-q", "--quiet", action="store_true", help="no progress")
    parser.text = _TEXT


def _cp(arguments: Namespace, context: Context) -> int:
    sources: list[str] = arguments.sources
    if len(sources) == 1:
        return _copy(sources[0], arguments, context)
    _require_directory(arguments.target, context)

    def copy(source: str) -> None:
        _copy(source, arguments, context)

    return each_target(sources, copy, context)


def _require_directory(target: str, context: Context) -> None:
    place = parse_place(target)
    if isinstance(place, VmPath):
        params = {"ref": place.vm, "path": place.path, "follow": True}
        with context.client() as client:
            is_directory = client.call("vm.stat_file", params)["kind"] == "directory"
    else:
        is_directory = os.path.isdir(place)
    if not is_directory:
        raise UsageError(f"Several files can only be copied into a directory; {target} is not one.")


def _copy(typed_source: str, arguments: Namespace, context: Context) -> int:
    source, target = parse_place(typed_source), parse_place(arguments.target)
    typed = shlex.quote(typed_source)
    if isinstance(source, VmPath) and isinstance(target, VmPath):
        raise UsageError(
            "Files cannot be copied from VM to VM in one step.",
            hint=f"banger vm cp {typed} - | banger vm cp - {target.vm}:DIRECTORY",
        )
    if isinstance(source, VmPath):
        if arguments.archive:
            raise UsageError("--archive applies only to copies into a VM.")
        return _from_vm(source, str(arguments.target), arguments, context)
    if isinstance(target, VmPath):
        return _into_vm(typed_source, target, arguments, context)
    raise UsageError(
        "Neither SRC nor DST is in a VM.",
        hint=f"banger vm cp {typed} {shlex.quote(f'VM:{arguments.target}')}",
    )


def _from_vm(source: VmPath, target: str, arguments: Namespace, context: Context) -> int:
    params = {"ref": source.vm, "path": source.path, "follow": arguments.follow_link}
    if target != STREAM:
        return copy_out(params, target, context, quiet=arguments.quiet, resume=arguments.resume)
    _require_no_resume(arguments)
    if os.isatty(1):
        raise UsageError(
            "An archive cannot be written to a terminal.",
            hint=f"banger vm cp {shlex.quote(f'{source.vm}:{source.path}')} - | tar t",
        )
    return copy_archive_out(params, context)


def _require_no_resume(arguments: Namespace) -> None:
    if arguments.resume:
        raise UsageError("--resume does not apply to an archive.")


def _into_vm(source: str, target: VmPath, arguments: Namespace, context: Context) -> int:
    params = {"ref": target.vm, "path": target.path, "keep_owners": arguments.archive}
    if source != STREAM:
        follow = arguments.follow_link
        return copy_in(
            source,
            params,
            context,
            follow=follow,
            quiet=arguments.quiet,
            resume=arguments.resume,
        )
    _require_no_resume(arguments)
    if arguments.follow_link:
        raise UsageError("--follow-link does not apply to an archive from stdin.")
    if os.isatty(0):
        raise UsageError(
            "An archive cannot be read from a terminal.",
            hint=f"tar c FILE | banger vm cp - {shlex.quote(arguments.target)}",
        )
    return copy_archive_in(params, context)


COMMANDS = {"vm cp": (_configure, _cp)}
