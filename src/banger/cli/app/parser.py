"""Argument parsing with our own help pages and messages.

`argparse` parses; this module lays out the help pages, so that they look the same under every
Python version (golden files, `docs/cli.md`). Pure, except for reading the terminal's width.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from banger.cli.app.usage import UsageError

WIDTH = 80
TEXT_COLUMN = 26


class HelpAsked(Exception):
    """`--help` was given; `parse` adds the page."""


class Parser(argparse.ArgumentParser):
    """One command's parser. `takes_command`: words after `--` are a command for the guest.

    `command_after`: number of arguments after which a command needs no `--`. `passes_options`: all
    options but the first word's `--help` are another program's (`skip_foreign`).
    """

    def __init__(
        self,
        name: str,
        summary: str,
        *,
        takes_command: bool = False,
        command_after: int | None = None,
        passes_options: bool = False,
    ) -> None:
        # Our own usage and width keep argparse from formatting a usage line and reading the
        # terminal's width at every start, which takes 5 ms.
        super().__init__(
            prog=f"banger {name}",
            usage="",
            formatter_class=lambda prog: argparse.HelpFormatter(prog, width=WIDTH),
            add_help=False,
            allow_abbrev=False,
        )
        self.name = name
        self.summary = summary
        self.text = ""
        """Text of the help page below the options."""
        self.takes_command = takes_command
        self.command_after = command_after
        self.passes_options = passes_options
        self.skip_foreign: Callable[[list[str]], int] = len
        """With `passes_options`: returns how many words at the start are that program's options."""
        self.add_argument("-h", "--help", action=_Help, help="show this help")

    def parse(self, words: list[str]) -> argparse.Namespace:
        """Return the arguments; `command` is the guest command, or None.

        Other tools' names for banger's options are accepted.

        Raises:
            UsageError: the words are not valid; the hint is the nearest valid word, or the help.
            HelpAsked: the words ask for help.
        """
        own, command = self.split(words) if self.takes_command else (words, None)
        try:
            namespace = self._parse(own)
        except UsageError:
            from banger.cli.app.foreign_options import translate_options

            translated = translate_options(self.name, own)
            if translated == own:
                raise
            namespace = self._parse(translated)
        namespace.command = command
        return namespace

    def _parse(self, own: list[str]) -> argparse.Namespace:
        try:
            namespace, unknown = self.parse_known_intermixed_args(own)
        except HelpAsked:
            # Only now: argparse hides `nargs` of the arguments while it parses options.
            raise HelpAsked(self.format_help()) from None
        if unknown:
            self._refuse_unknown(unknown)
        return namespace

    def split(self, words: list[str]) -> tuple[list[str], list[str] | None]:
        """Split the words into banger's own and the guest command."""
        if self.passes_options:
            return self._split_foreign(words)
        arguments, position = 0, 0
        while position < len(words):
            word = words[position]
            if word == "--":
                return words[:position], words[position + 1 :]
            if word.startswith("-"):
                position += self.has_value_next(word)
            elif arguments == self.command_after:
                return words[:position], words[position:]
            else:
                arguments += 1
            position += 1
        return words, None

    def _split_foreign(self, words: list[str]) -> tuple[list[str], list[str] | None]:
        """Split off the one argument: another program's options may come before it and after it."""
        if words[:1] in (["-h"], ["--help"]):
            return words, None
        first = self.skip_foreign(words)
        at = first + (words[first : first + 1] == ["--"])
        own = words[at : at + 1]
        return own, [*words[:first], *words[at + 1 :]] if own else None

    def count_arguments(self, words: list[str]) -> int:
        """Return the number of positional arguments among the words."""
        count, position = 0, 0
        while position < len(words):
            is_option = words[position].startswith("-")
            count += not is_option
            position += 1 + (is_option and self.has_value_next(words[position]))
        return count

    def find_option(self, word: str) -> argparse.Action | None:
        """Return the option that this word names, if its value follows as the next word."""
        actions = self._option_string_actions
        return actions.get(word if word.startswith("--") else f"-{word[-1]}")

    def has_value_next(self, word: str) -> bool:
        """Tell whether an option's value is the next word: false for `--a=b`, `-ab`, a flag."""
        actions = self._option_string_actions
        if word.startswith("--"):
            return word in actions and actions[word].nargs is None
        for place, letter in enumerate(word[1:], start=2):
            action = actions.get(f"-{letter}")
            if action is None or action.nargs is None:
                return action is not None and place == len(word)
        return False

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse exits here
        """Turn argparse's message into our error."""
        raise UsageError(f"{self.prog}: {message}.", hint=f"{self.prog} --help")

    def format_help(self) -> str:
        """Return the help page."""
        import textwrap

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
        """Return the usage line."""
        words = [self.prog, "[options]"]
        words += [_shape(action) for action in self._actions if not action.option_strings]
        if self.passes_options:
            words.append("[COMMAND...]")
        elif self.takes_command:
            words.append("[--] COMMAND..." if self.command_after else "[-- COMMAND...]")
        return " ".join(words)

    def _refuse_unknown(self, unknown: list[str]) -> None:
        from banger.nearnames import format_near_hint

        help_page = f"{self.prog} --help"
        option = next((word for word in unknown if word.startswith("-")), None)
        if option is not None:
            known = [text for action in self._actions for text in action.option_strings]
            hint = format_near_hint(option.partition("=")[0], known, see=help_page)
            raise UsageError(f"{self.prog} has no option {option}.", hint=hint)
        if self.takes_command:
            help_page = f"put -- before the command: {self.prog} ... -- {' '.join(unknown)}"
        raise UsageError(f"{self.prog} takes no argument {unknown[0]!r}.", hint=help_page)


class _Help(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str, help: str) -> None:  # noqa: A002 - argparse
        super().__init__(option_strings, dest=dest, nargs=0, help=help)

    def __call__(self, *_: object) -> None:
        raise HelpAsked


def _shape(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest.upper())
    return {"?": f"[{name}]", "*": f"[{name}...]", "+": f"{name}..."}.get(str(action.nargs), name)


def _entry(action: argparse.Action) -> list[str]:
    """Return the lines of one argument or option."""
    import textwrap

    head = "  " + (", ".join(action.option_strings) or _shape(action))
    if action.option_strings and action.nargs != 0:
        head += f" {action.metavar or action.dest.upper()}"
    text = textwrap.wrap(action.help or "", WIDTH - TEXT_COLUMN, break_on_hyphens=False)
    if len(head) + 2 > TEXT_COLUMN:
        return [head, *(" " * TEXT_COLUMN + line for line in text)]
    first = head.ljust(TEXT_COLUMN) + (text[0] if text else "")
    return [first.rstrip(), *(" " * TEXT_COLUMN + line for line in text[1:])]
