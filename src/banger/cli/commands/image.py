"""`image build/import/list/show/delete`."""

from __future__ import annotations

import os
import shlex
import stat
import time
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.commands.artifacts import add_making, make_one
from banger.cli.options.show import add_list_options, add_show_options, show_each
from banger.cli.options.targets import add_refs, each_target
from banger.cli.terminal.output import (
    Column,
    format_age,
    format_bytes,
    format_json,
    printable,
    render_table,
    terminal_width,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COLUMNS = (
    Column("NAME", least=12),
    Column("DIGEST"),
    Column("SIZE", is_number=True),
    Column("UNIQUE", is_number=True, spare=2),
    Column("SHARED", is_number=True, spare=1),
    Column("SOURCE", least=10, spare=3),
    Column("AGE", is_number=True),
)


def _configure_build(parser: Parser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help="name of the image")
    add("--suite", metavar="NAME", help="Debian release (default: bookworm, or the one in NAME)")
    add(
        "--package",
        action="append",
        default=[],
        metavar="P",
        help="add a package; repeatable",
    )
    add("--file", metavar="RECIPE", help="build from a recipe file (TOML) instead")
    add_making(parser)


def _build(arguments: Namespace, context: Context) -> int:
    if arguments.file and (arguments.suite or arguments.package):
        raise UsageError("--file excludes --suite and --package.")
    params: dict[str, object] = {"name": arguments.name}
    if arguments.file:
        params["recipe"] = os.path.abspath(arguments.file)
    else:
        params["packages"] = arguments.package
        if arguments.suite:
            params["suite"] = arguments.suite
    return make_one("image.build", params, arguments, context)


_IMPORT_TEXT = (
    "FILE is a `docker save` archive, an OCI layout (directory or archive), or a tar\n"
    "of a root file system; plain, or compressed with gzip or zstd. With - it is read\n"
    "from stdin.\n"
    "\n"
    "Without NAME the image is named as in the archive, or else after FILE."
)


def _configure_import(parser: Parser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", help="archive, or - for stdin")
    add("name", nargs="?", metavar="NAME", help="name of the image")
    add_making(parser)
    parser.text = _IMPORT_TEXT


def _import(arguments: Namespace, context: Context) -> int:
    params: dict[str, object] = {"path": _path_for_daemon(arguments.file)}
    if arguments.name:
        params["name"] = arguments.name
    return make_one("image.import", params, arguments, context)


def _path_for_daemon(file: str) -> str:
    """Return a path by which the daemon can open `file`, which may be a pipe of this process.

    Raises:
        UsageError: `file` is neither a file, nor a directory, nor a pipe.
    """
    if file == "-" and os.isatty(0):
        raise UsageError("stdin is a terminal.", hint="banger image import - NAME < FILE")
    try:
        mode = os.fstat(0).st_mode if file == "-" else os.stat(file).st_mode
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}.", hint="banger image import --help"
        ) from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISFIFO(mode)):
        raise UsageError(
            f"{file} is neither a file, nor a directory, nor a pipe.",
            hint="banger image import --help",
        )
    if file == "-":
        return f"/proc/{os.getpid()}/fd/0"
    if stat.S_ISFIFO(mode):
        # A shell's <(...) is /dev/fd/N, which in the daemon names another descriptor.
        return f"/proc/{os.getpid()}/fd/{os.open(file, os.O_RDONLY)}"
    return os.path.abspath(file)


_LIST_TEXT = (
    "SIZE: of the root file system. UNIQUE: disk space that only this image uses, for\n"
    "its root and for downloaded layers that no other image has. SHARED: layers that\n"
    "other images have too. Layers are kept for later pulls; `banger image prune`\n"
    "removes them, and images that lost their name to another (-)."
)


def _configure_list(parser: Parser) -> None:
    parser.text = _LIST_TEXT
    add_list_options(parser, what="digests")


def _list(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        images = client.call("image.list")
    if arguments.json:
        context.out(format_json(images))
    elif arguments.quiet:
        for image in images:
            context.out(image["digest"])
    else:
        now = time.time()
        rows = [
            [
                name,
                image["digest"][:12],
                format_bytes(image["size_bytes"]),
                format_bytes(image["unique_bytes"]),
                format_bytes(image["shared_bytes"]),
                _describe_source(image["source"])["source"],
                format_age(now - image["created_at"]),
            ]
            for image in images
            for name in image["names"] or ["-"]
        ]
        context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


def _configure_show(parser: Parser) -> None:
    add_show_options(parser, what="IMAGE", text="name, digest or unique prefix")


def _show(arguments: Namespace, context: Context) -> int:
    return show_each("image.show", _describe, arguments, context)


def _describe(image: dict[str, Any]) -> str:
    rows = {
        "name": ", ".join(image["names"]) or f"none (was {image['name']})",
        "digest": image["digest"],
        "size": format_bytes(image["size_bytes"]),
        "unique": format_bytes(image["unique_bytes"]),
        "shared": format_bytes(image["shared_bytes"]),
        **_describe_source(image["source"]),
        **({"copied": "no, uses FILE"} if image["external"] else {}),
        **({"signed by": image["signed_by"]} if image["signed_by"] else {}),
        "init": image["init"] or "(none: the agent stays PID 1)",
        "user": image["user"] or "root",
        "workdir": image["workdir"] or "(the user's home)",
        "runs": shlex.join([*image["entrypoint"], *image["cmd"]]) or "(no command)",
        "packages": len(image["packages"]),
        "created": format_age(time.time() - image["created_at"]) + " ago",
        "users": ", ".join(image["users"]) or "none",
        "templates": image["templates"],
    }
    lines = [f"{name:<11}{printable(str(value))}" for name, value in rows.items()]
    for number, layer in enumerate(image["layers"]):
        lines.append(("layers" if number == 0 else "").ljust(11) + _describe_layer(layer))
    return "\n".join(lines)


def _describe_layer(layer: dict[str, Any]) -> str:
    others = layer["images"] - 1
    shared = f"shared with {others} other image{'s' if others > 1 else ''}" if others else ""
    facts = [shared, "" if layer["kept"] else "not kept"]
    size = format_bytes(layer["size_bytes"]).rjust(7)
    return "  ".join((layer["digest"][:19], size, ", ".join(filter(None, facts)))).rstrip()


def _describe_source(source: str) -> dict[str, str]:
    """Return the fields of an image's source: kind, and pinned reference or file."""
    kind, _, rest = source.partition(":")
    label = {"registry": "pinned", "registered": "file"}.get(kind)
    return {"source": kind, label: rest} if label else {"source": source}


def _configure_delete(parser: Parser) -> None:
    parser.text = "If the image has other names, only the given one is removed."
    add_refs(parser, what="IMAGE")


def _delete(arguments: Namespace, context: Context) -> int:
    with context.client() as client:

        def act(ref: str) -> None:
            deleted = client.call("image.delete", {"ref": ref})
            context.say(f"deleted {ref}" if deleted["ids"] else f"deleted the name {ref}")

        return each_target(arguments.refs, act, context)


COMMANDS = {
    "image build": (_configure_build, _build),
    "image import": (_configure_import, _import),
    "image list": (_configure_list, _list),
    "image show": (_configure_show, _show),
    "image delete": (_configure_delete, _delete),
}
