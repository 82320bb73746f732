"""The page `docs/cli.md`, made from the commands' own help pages.

`python -m banger.cli.app.reference` prints the page; a test compares it with the file.
"""

from __future__ import annotations

import sys

from banger.cli.app.table import COMMANDS, GROUPS, render_group

EXIT_STATUSES = {
    0: "ok",
    1: "failed",
    2: "usage, or an invalid request",
    3: "a bug in banger; a report was written",
    4: "not found",
    5: "conflict, or busy",
    6: "this host is not ready",
    7: "the daemon is unreachable",
    8: "a deadline has passed",
    9: "denied",
    130: "interrupted",
}
GUEST_STATUSES = (
    "`vm run`, `vm exec` and `vm shell` exit with the status of the command in the guest; 128+N\n"
    "if signal N ended it. Their own failures, usage errors included, are 125; 126 if the command\n"
    "cannot be executed, 127 if it is not found; 124 if `--timeout` expired, like timeout(1).\n"
)

_INTRODUCTION = """\
# The command line

<!-- Made by `python -m banger.cli.app.reference > docs/cli.md`; do not edit. -->

The word `vm` may be left out: `banger run`, `banger ls`, `banger stop web1`. Verbs and options of
other tools are accepted too: `banger vm inspect`, `--cpus 2`, `-m 2g`.

An option means the same in every command:

| option | meaning |
|---|---|
| `-q`, `--quiet` | for commands that list: IDs only; for others: no progress and no notices |
| `-f` | `--follow` for commands that print, `--force` for commands that delete |
| `--force` | proceed where the command would otherwise ask or refuse, as its help page says |
| `--json` | one JSON document |

With `--json`, commands that list print an array; others print an object, or an array if several
arguments are given; `--follow` prints one line per update. Times are in RFC 3339 format. An error
is one line of JSON on stderr (errors.md).

Results go to stdout, everything else to stderr. If a command is given several VMs and fails for
one, it continues with the others, and its exit status is not 0.

{statuses}
{passed_on}"""


def render_reference() -> str:
    """Return the whole page."""
    rows = "".join(f"| {status} | {text} |\n" for status, text in EXIT_STATUSES.items())
    statuses = f"| status | meaning |\n|---|---|\n{rows}"
    introduction = _INTRODUCTION.format(statuses=statuses, passed_on=GUEST_STATUSES)
    parts = [introduction, _block("banger", render_group(""))]
    shown: set[str] = set()
    for command in COMMANDS:
        group = command.path.rpartition(" ")[0]
        if group in GROUPS and group not in shown:
            shown.add(group)
            parts.append(f"## banger {group}\n\n{GROUPS[group]}\n")
        parser, _ = command.load()
        level = "###" if group else "##"
        also = ", ".join(f"`banger {name}`" for name in command.aliases)
        parts.append(f"{level} banger {command.path}\n" + (f"\nAlso: {also}.\n" if also else ""))
        parts.append(_fence(parser.format_help()))
    return "\n".join(parts)


def _block(title: str, text: str) -> str:
    return f"## {title}\n\n{_fence(text)}"


def _fence(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(render_reference())
