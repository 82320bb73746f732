"""`image pull` and `image prune`: download images from registries, delete unused images."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.commands.artifacts import add_making, make_one
from banger.cli.options.targets import confirm_deletion
from banger.cli.options.timings import add_timings
from banger.cli.terminal.output import format_bytes, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import Pruned
    from banger.client import Client

_PULL_TEXT = (
    "REF is [HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST], as with Docker: the default\n"
    "host is Docker Hub, the default tag `latest`. Credentials of `docker login` and\n"
    "of credential helpers are used; HTTP_PROXY, HTTPS_PROXY and NO_PROXY are\n"
    "honoured. Mirrors, registries without TLS and required signatures are set in the\n"
    "configuration (registries)."
)
_PRUNE_TEXT = (
    "An image loses its name when another is pulled or built under that name. Images\n"
    "without a name that no VM uses are deleted, with their templates and the\n"
    "downloads kept for later pulls."
)


def _configure_pull(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", metavar="REF", help="image reference, such as alpine:3.20 or ghcr.io/a/b@sha256:...")
    add("--platform", metavar="OS/ARCH", help="platform (default: this host's)")
    add("--insecure", action="store_true", help="use plain HTTP for the registry")
    add_making(parser)
    add_timings(parser)
    parser.text = _PULL_TEXT


def _pull(arguments: Namespace, context: Context) -> int:
    params = {"ref": arguments.ref, "insecure": arguments.insecure}
    if arguments.platform is not None:
        params["platform"] = arguments.platform
    return make_one("image.pull", params, arguments, context)


def _configure_prune(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "-a", "--all", action="store_true", help="delete all images that no VM uses, named ones too"
    )
    add("-f", "--force", action="store_true", help="do not ask")
    add("--dry-run", action="store_true", help="print the digests to delete; do nothing")
    parser.text = _PRUNE_TEXT


def _prune(arguments: Namespace, context: Context) -> int:
    params = {"all": arguments.all}
    with context.client() as client:
        found = client.call("image.prune", {**params, "dry_run": True})
        is_empty = not found["ids"] and not found["blob_bytes"]
        if not arguments.dry_run and not is_empty:
            if not arguments.force:
                context.say("\n".join(_describe(found, client)))
                if not confirm_deletion("all of these", "banger image prune", context):
                    return 1
            found = client.call("image.prune", params)
    for digest in found["ids"]:
        context.out(digest)
    if found["blob_bytes"]:
        done = "to be freed" if arguments.dry_run else "freed"
        context.say(f"downloads: {format_bytes(found['blob_bytes'])} {done}")
    if is_empty:
        context.say(
            "Nothing to delete: every image is in use or has a name, and no downloads are kept."
        )
    return 0


def _describe(found: Pruned, client: Client) -> list[str]:
    """Return a line for each image to delete, with name and size, and a line for the cache."""
    images = client.call("image.list")
    lines = [
        f"  {printable(', '.join(image['names']) or image['name'])} "
        f"({image['digest'][:12]}, {format_bytes(image['size_bytes'])})"
        for image in images
        if image["digest"] in found["ids"]
    ]
    if found["blob_bytes"]:
        lines.append(f"  downloads kept for later pulls ({format_bytes(found['blob_bytes'])})")
    return lines


COMMANDS = {
    "image pull": (_configure_pull, _pull),
    "image prune": (_configure_prune, _prune),
}
