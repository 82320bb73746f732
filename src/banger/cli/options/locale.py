"""`--host-locale`: the language and the time zone of this host, as variables of a VM."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Mapping

from banger.cli.app.parser import Parser

LOCALTIME = "/etc/localtime"
_FILE_MAX_BYTES = 64 * 1024
_FOOTER = re.compile(rb"\n([A-Za-z0-9<>+:,./-]{3,100})\n")


def add_host_locale(parser: Parser) -> None:
    """Add the option."""
    parser.add_argument(
        "--host-locale",
        action="store_true",
        help="set LANG, LC_* and TZ in the VM as they are on this host",
    )


def chosen_locale(arguments: Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the option asks for."""
    return host_locale(environ) if arguments.host_locale else {}


def host_locale(environ: Mapping[str, str], *, localtime: str = LOCALTIME) -> dict[str, str]:
    """Return the variables of the language that are set here, and TZ.

    Where TZ is not set it is the rule at the end of the host's zone file (RFC 9636, section 3.3),
    such as `CET-1CEST,M3.5.0,M10.5.0/3`: guests need no zone files to follow it.
    """
    found = {
        name: value
        for name, value in environ.items()
        if name in ("LANG", "LANGUAGE", "TZ") or name.startswith("LC_")
    }
    if "TZ" not in found and (rule := _read_rule(localtime)):
        found["TZ"] = rule
    return found


def _read_rule(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            content = file.read(_FILE_MAX_BYTES)
    except OSError:
        return None  # a host without a zone is in UTC, as guests are
    if not content.startswith(b"TZif"):
        return None
    footer = _FOOTER.fullmatch(content[content.rfind(b"\n", 0, -1) :])
    return None if footer is None else footer[1].decode("ascii")
