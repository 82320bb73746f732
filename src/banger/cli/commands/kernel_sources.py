"""`kernel pull/import/build`: get or build kernels."""

from __future__ import annotations

import os
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.commands.artifacts import add_making, make_one


def _configure_pull(parser: Parser) -> None:
    add = parser.add_argument
    text = "such as debian-cloud (see `banger kernel list --available`), or a file's URL"
    add("name", metavar="NAME", help=text)
    add("--sha256", metavar="HEX", help="expected hash of the file at the URL")
    add("--name", dest="as_name", metavar="NAME", help="name of a kernel from a URL")
    add("--config", metavar="FILE", help="kernel configuration, if the kernel does not contain it")
    add("--insecure", action="store_true", help="allow an http URL of another machine")
    add("--force", action="store_true", help="download again even if present")
    add_making(parser)
    parser.text = (
        "The URL may point to anything that `kernel import` takes: a kernel, or a Debian\n"
        "package or tar that contains one. It is used only if its sha256 matches.\n"
        "HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured."
    )


def _pull(arguments: Namespace, context: Context) -> int:
    if "://" in arguments.name:
        return make_one("kernel.fetch", _fetching(arguments), arguments, context)
    given = {
        "--sha256": arguments.sha256,
        "--name": arguments.as_name,
        "--config": arguments.config,
        "--insecure": arguments.insecure,
    }
    if wrong := [option for option, value in given.items() if value]:
        raise UsageError(
            f"{arguments.name} is not a URL and does not take {' or '.join(wrong)}.",
            hint="banger kernel pull https://HOST/FILE --sha256 HEX",
        )
    params: dict[str, object] = {"name": arguments.name, "force": arguments.force}
    return make_one("kernel.pull", params, arguments, context)


def _fetching(arguments: Namespace) -> dict[str, object]:
    if arguments.sha256 is None:
        raise UsageError(
            "A kernel from a URL needs the sha256 that its publisher states.",
            hint=f"banger kernel pull {arguments.name} --sha256 HEX",
        )
    params = {
        "url": arguments.name,
        "sha256": arguments.sha256,
        "name": arguments.as_name,
        "force": arguments.force,
        "insecure": arguments.insecure,
        **_absolute(arguments, "config"),
    }
    return {name: value for name, value in params.items() if value is not None}


def _configure_import(parser: Parser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help="name of the kernel")
    text = "a bzImage, a vmlinux with PVH, or a Debian package or tar that holds a kernel"
    add("--kernel", required=True, metavar="FILE", help=text)
    add("--modules", metavar="DIR", help="module directory: /lib/modules/VERSION")
    add("--config", metavar="FILE", help="kernel configuration, if the kernel does not contain it")
    add_making(parser)
    parser.text = "The files are copied. A notice lists what guests need and the kernel lacks."


def _import(arguments: Namespace, context: Context) -> int:
    params = {"name": arguments.name, **_absolute(arguments, "kernel", "modules", "config")}
    return make_one("kernel.import", params, arguments, context)


_BUILD_TEXT = (
    "The kernel has everything that guests need built in, and little else: it boots\n"
    "faster and takes less memory, but loads no modules. The source is Debian's\n"
    "signed package unless --source is given. It is compiled as your user by this\n"
    "host's compiler at the lowest priority, which takes all CPUs for minutes and\n"
    "2 GB of disk."
)


def _configure_build(parser: Parser) -> None:
    add = parser.add_argument
    add("--name", default="small", metavar="NAME", help="name of the kernel (default: small)")
    add("--source", metavar="PATH", help="kernel source tree, or a tar of one")
    add(
        "--options",
        metavar="FILE",
        help="additional kernel options, one per line, such as CONFIG_XFS_FS=y",
    )
    add_making(parser)
    parser.text = _BUILD_TEXT


def _build(arguments: Namespace, context: Context) -> int:
    params = {"name": arguments.name, **_absolute(arguments, "source", "options")}
    return make_one("kernel.build", params, arguments, context)


def _absolute(arguments: Namespace, *names: str) -> dict[str, object]:
    """Return the given paths made absolute, since the daemon has another working directory."""
    paths = {name: getattr(arguments, name) for name in names}
    return {name: os.path.abspath(path) for name, path in paths.items() if path is not None}


COMMANDS = {
    "kernel pull": (_configure_pull, _pull),
    "kernel import": (_configure_import, _import),
    "kernel build": (_configure_build, _build),
}
