"""The manual page banger(1), from the commands' help pages. Pure.

One page for all commands, as systemctl(1) is: `/vm fork` finds its place. Markup is that of man(7).
"""

from __future__ import annotations

from collections.abc import Iterator

from banger.cli.app.reference import EXIT_STATUSES, GUEST_STATUSES
from banger.cli.app.table import COMMANDS, render_group
from banger.version import VERSION

HEAD = f"""\
.\\" Made by `make docs` from the help pages; do not edit.
.TH BANGER 1 "" "banger {VERSION}" "User Commands"
.SH NAME
banger \\- one\\-command development sandboxes on microVMs
.SH SYNOPSIS
.B banger
.I COMMAND
.RI [ OPTION ...]
.RI [ ARGUMENT ...]
"""
FILES = """\
.SH FILES
.TP
.I ~/.config/banger/config.toml
Settings; \\fBbanger config path\\fR prints the path, \\fBbanger config edit\\fR opens the file.
.TP
.I ~/.local/share/banger
Images, kernels and templates.
.TP
.I ~/.local/state/banger
VMs, the database, logs, and the reports of crashes.
.TP
.I $XDG_RUNTIME_DIR/banger
Sockets.
.PP
The XDG variables move these directories. \\fBbanger config show\\fR prints the settings and
their origin; \\fBBANGER_\\fR variables override the file.
.SH SEE ALSO
.BR git (1),
.BR qemu-system-x86_64 (1),
.BR slirp4netns (1)
"""


def render_manual() -> str:
    """Return the whole page."""
    parts = [HEAD, ".SH DESCRIPTION\n", _example(render_group("")), ".SH COMMANDS\n"]
    for command in COMMANDS:
        parser, _ = command.load()
        parts.append(f'.SS "banger {command.path}"\n')
        if command.aliases:
            names = ", ".join(f"banger {alias}" for alias in command.aliases)
            parts.append(f"Also: {_escape(names)}.\n")
        parts.append(_example(parser.format_help()))
    parts.append(".SH EXIT STATUS\n")
    parts += (f".TP\n.B {status}\n{_escape(text)}\n" for status, text in EXIT_STATUSES.items())
    parts.append(f".PP\n{_escape(GUEST_STATUSES.replace('`', ''))}")
    return "".join([*parts, FILES])


def _example(text: str) -> str:
    return "".join([".PP\n.nf\n", *_lines(text), ".fi\n"])


def _lines(text: str) -> Iterator[str]:
    for line in text.rstrip().splitlines():
        yield f"{_escape(line)}\n"


def _escape(text: str) -> str:
    """Return text that troff prints as it stands, with hyphens that can be pasted."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
