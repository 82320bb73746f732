"""The options of a kernel that is built here, and whether a source accepted them. Pure.

Kconfig's own lines, `CONFIG_X=y`. What no line names is off (`make allnoconfig`), but for what
others need. A release that renames an option has a line `CONFIG_OLD=y | CONFIG_NEW=y`: either.

Kconfig says nothing of an option that it does not know, or whose dependencies are not met; so
what came out is compared with what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

from banger.errors import InvalidRequest

_LINE = re.compile(r"CONFIG_(?P<name>[A-Za-z0-9_]{1,100})=(?P<value>[ymn]|[0-9]{1,9}|\"[^\"\\]*\")")

Options = dict[str, str]
"""Values by option, without the `CONFIG_`."""


def load_options(arch: str) -> list[Options]:
    """Return what the guests of an architecture need and what they are good with.

    Raises:
        InvalidRequest: there is no such list for it.
    """
    file = resources.files("banger.kernels").joinpath("configs", f"{arch}.config")
    if not file.is_file():
        raise InvalidRequest(f"There is no kernel configuration for {arch}.")
    return parse_options(file.read_text("utf-8"), where=f"the configuration for {arch}")


def parse_options(text: str, *, where: str) -> list[Options]:
    """Return what each line asks for: one option, or those of which one is enough.

    Raises:
        InvalidRequest: a line has another shape; `where` and its number are named.
    """
    wanted = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        found = [_LINE.fullmatch(part.strip()) for part in line.split("|")]
        if not all(match and match["value"] != "m" for match in found):  # there are no modules
            raise InvalidRequest(f"{where}, line {number}: not a line such as CONFIG_X=y.")
        wanted.append({match["name"]: match["value"] for match in found if match})
    return wanted


def render_options(wanted: list[Options]) -> str:
    """Return the lines for Kconfig; a later one for the same option counts."""
    return "".join(f"CONFIG_{name}={value}\n" for name, value in _pairs(wanted))


def find_refused(wanted: list[Options], resolved: str) -> list[str]:
    """Return what was asked for and is not so in a configuration that Kconfig has made."""
    lines = (_LINE.fullmatch(line.strip()) for line in resolved.splitlines())
    taken = {line["name"]: line["value"] for line in lines if line}
    last = dict(_pairs(wanted))
    refused = [
        " or ".join(f"CONFIG_{name}={last[name]}" for name in either)
        for either in wanted
        if not any(taken.get(name, "n") == last[name] for name in either)
    ]
    return list(dict.fromkeys(refused))


def _pairs(wanted: list[Options]) -> Iterator[tuple[str, str]]:
    for either in wanted:
        yield from either.items()
