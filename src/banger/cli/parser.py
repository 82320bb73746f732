"""Argument parsing with our own help pages and messages.

`argparse` parses; the help pages are laid out here, so that they look the same under every
Python version (golden files, `docs/cli.md`). Pure, but for the terminal's width.
"""

from __future__ import annotations

import argparse
import textwrap

from banger.errors import InvalidRequest

WIDTH = 80
TEXT_COLUMN = 26


class UsageError(InvalidRequest):
    """The command line itself is not valid; nothing was done."""


class HelpAsked(Exception):
    """`--help` was given; `parse` puts the page in."""


class Parser(argparse.ArgumentParser):
    """One command's parser. `takes_command`: words after `--` are a command for the guest."""

    def __init__(self, name: str, summary: str, *, takes_command: bool = False) -> None:
        # With a usage and a width of our own argparse neither lays one out nor asks for the
        # terminal's width at every start, which takes it 5 ms.
        super().__init__(
            prog=f"banger {name}",
            usage="",
            formatter_class=lambda prog: argparse.HelpFormatter(prog, width=WIDTH),
            add_help=False,
            allow_abbrev=False,
        )
        self.summary = summary
        self.text = ""
        """More about the command, below its options."""
        self.takes_command = takes_command
        self.add_argument("-h", "--help", action=_Help, help="show this page")

    def parse(self, words: list[str]) -> argparse.Namespace:
        """Return the arguments; `command` is what came after `--` (None without `--`).

        Raises:
            UsageError: they are not valid; the hint is the nearest right word, or the help.
            HelpAsked: help was asked for.
        """
        own, command = words, None
        if self.takes_command and "--" in words:
            middle = words.index("--")
            own, command = words[:middle], words[middle + 1 :]
        try:
            namespace, unknown = self.parse_known_intermixed_args(own)
        except HelpAsked:
            # Only now: argparse hides the arguments' shapes while it looks for options.
            raise HelpAsked(self.format_help()) from None
        if unknown:
            self._refuse_unknown(unknown[0])
        namespace.command = command
        return namespace

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse exits here
        """Turn argparse's complaint into our error."""
        raise UsageError(f"{self.prog}: {message}.", hint=f"{self.prog} --help")

    def format_help(self) -> str:
        """Return the help page."""
        positional = [action for action in self._actions if not action.option_strings]
        options = [action for action in self._actions if action.option_strings]
        parts = [f"usage: {self.format_short_usage()}\n", textwrap.fill(self.summary, WIDTH) + "\n"]
        for title, actions in (("arguments", positional), ("options", options)):
            lines = [line for a in actions if a.help != argparse.SUPPRESS for line in _entry(a)]
            if lines:
                parts.append("\n".join([f"{title}:", *lines]) + "\n")
        if self.text:
            parts.append(self.text.strip("\n") + "\n")
        return "\n".join(parts)

    def format_short_usage(self) -> str:
        """Return the one line that shows the command's shape."""
        words = [self.prog, "[options]"]
        words += [_shape(action) for action in self._actions if not action.option_strings]
        return " ".join(words + ["[-- COMMAND...]"] * self.takes_command)

    def _refuse_unknown(self, word: str) -> None:
        known = [text for action in self._actions for text in action.option_strings]
        if not word.startswith("-"):
            hint = f"{self.prog} --help"
            if self.takes_command:
                hint = f"put -- before the command: {self.prog} ... -- {word}"
            raise UsageError(f"{self.prog}: {word!r} is one argument too many.", hint=hint)
        near = find_near(word.partition("=")[0], known)
        hint = f"did you mean {near}?" if near else f"{self.prog} --help"
        raise UsageError(f"{self.prog} has no option {word}.", hint=hint)


class _Help(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str, help: str) -> None:  # noqa: A002
        super().__init__(option_strings, dest=dest, nargs=0, help=help)

    def __call__(self, *_: object) -> None:
        raise HelpAsked


def find_near(word: str, known: list[str]) -> str | None:
    """Return the known word that was probably meant, or None."""
    import difflib

    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)


def _shape(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest.upper())
    return {"?": f"[{name}]", "*": f"[{name}...]", "+": f"{name}..."}.get(str(action.nargs), name)


def _entry(action: argparse.Action) -> list[str]:
    """Return the lines of one argument or option."""
    head = "  " + (", ".join(action.option_strings) or _shape(action))
    if action.option_strings and action.nargs != 0:
        head += f" {action.metavar or action.dest.upper()}"
    text = textwrap.wrap(action.help or "", WIDTH - TEXT_COLUMN, break_on_hyphens=False)
    if len(head) + 2 > TEXT_COLUMN:
        return [head, *(" " * TEXT_COLUMN + line for line in text)]
    first = head.ljust(TEXT_COLUMN) + (text[0] if text else "")
    return [first.rstrip(), *(" " * TEXT_COLUMN + line for line in text[1:])]
