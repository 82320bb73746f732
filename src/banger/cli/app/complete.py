"""Candidates for the last word of an unfinished command line: `banger __complete WORD...`.

The shell scripts (`completion`) run this command on each press of the tab key. The last word is
unfinished, perhaps empty. Each candidate is a line, with a description after a tab; the last line
tells the shell to add its own `:files` or `:dirs`, or `:none`. Names come from the daemon if the
daemon runs; completion never starts a daemon, and on any error offers nothing.
"""

from __future__ import annotations

import argparse

from banger.cli.app.candidates import CHOICES, SOURCES, Candidate, find_kind
from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.table import COMMANDS, GROUPS, OFTEN, Command, find_command
from banger.cli.app.usage import UsageError
from banger.cli.terminal.output import printable


def print_candidates(words: list[str], context: Context) -> int:
    """Print the candidates for the last word."""
    found, kind = complete(words or [""], context)
    begun = words[-1] if words else ""
    for word, text in found:
        if word.startswith(begun):
            context.out(f"{printable(word)}\t{printable(text)}")
    context.out(f":{kind}")
    return 0


def complete(words: list[str], context: Context) -> tuple[list[Candidate], str]:
    """Return candidates for the last word, and the kind that the shell itself is to complete."""
    *before, begun = words
    following = _list_following(before)
    # What is a command and a group at once has options, too.
    if following and not begun.startswith("-"):
        return following, "none"
    try:
        command, rest = find_command(before)
    except UsageError:
        return [], "none"
    return _complete_argument(command, rest, begun, context)


def _list_following(before: list[str]) -> list[Candidate]:
    """Return the groups and commands that can follow the words; empty after a non-group."""
    group = " ".join(before)
    if before and not _is_group(group):
        group = f"vm {group}"
        if not _is_group(group):
            return []
    found: dict[str, str] = {}
    prefix = f"{group} " if group else ""
    for command in COMMANDS:
        for name in (command.path, *command.aliases):
            if name.startswith(prefix):
                word, _, more = name.removeprefix(prefix).partition(" ")
                text = GROUPS.get(prefix + word, command.summary) if more else command.summary
                found.setdefault(word, text)
    if not group:
        often = (c for c in COMMANDS if c.path in OFTEN and c.path.count(" ") == 1)
        found |= {command.path.removeprefix("vm "): command.summary for command in often}
    return list(found.items())


def _is_group(words: str) -> bool:
    return any(command.path.startswith(f"{words} ") for command in COMMANDS)


def _complete_argument(
    command: Command, rest: list[str], begun: str, context: Context
) -> tuple[list[Candidate], str]:
    parser, _ = command.load()
    own, guest = parser.split(rest) if parser.takes_command else (rest, None)
    if guest is not None:
        return [], "none"
    if own and own[-1].startswith("-") and parser.has_value_next(own[-1]):
        action = parser.find_option(own[-1])
    elif begun.startswith("-"):
        return _list_options(parser), "none"
    else:
        action = _find_positional(parser, own)
    if action is None:
        return [], "none"
    kind = find_kind(command.path, action.dest, str(action.metavar))
    if kind in CHOICES:
        return [(word, "") for word in CHOICES[kind]], "none"
    if kind in SOURCES:
        return SOURCES[kind](context, own), "none"
    return [], kind


def _list_options(parser: Parser) -> list[Candidate]:
    return [
        (option, action.help or "")
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        for option in action.option_strings
    ]


def _find_positional(parser: Parser, own: list[str]) -> argparse.Action | None:
    """Return the positional argument that the next word belongs to."""
    actions = [action for action in parser._actions if not action.option_strings]
    for _ in range(parser.count_arguments(own)):
        if actions and actions[0].nargs not in ("*", "+"):
            actions.pop(0)
    return actions[0] if actions else None
