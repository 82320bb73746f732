"""Variables of a guest's command: `--env` and `--env-file`."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError, Namespace

from banger.cli.app.parser import Parser
from banger.cli.app.values import variable

FILE_MAX_BYTES = 1024 * 1024


def add_env(parser: Parser) -> None:
    """Add the options that set variables."""
    add = parser.add_argument
    add(
        "-e",
        "--env",
        action="append",
        default=[],
        metavar="K=V",
        type=variable,
        help="set an environment variable; K alone copies it from the host; repeatable",
    )
    add(
        "--env-file",
        action="extend",
        default=[],
        metavar="FILE",
        type=env_file,
        help="set the variables of a file with a K=V on each line, which --env overrides",
    )


def chosen_env(arguments: Namespace) -> dict[str, str]:
    """Return the variables that were given; an option stands before a file."""
    return dict((*arguments.env_file, *arguments.env))


def env_file(untrusted_path: str) -> list[tuple[str, str]]:
    """Return the variables of a file as docker has it: an argparse `type`.

    A line is `K=V`, where V is taken as it stands, quotes included, or `K`, which has the host's
    value if it is set here. Blank lines, and those that begin with `#`, say nothing.
    """
    try:
        with open(untrusted_path, "rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ArgumentTypeError(f"{untrusted_path} cannot be read: {error.strerror}") from None
    if len(content) > FILE_MAX_BYTES:
        raise ArgumentTypeError(f"{untrusted_path} has more than {FILE_MAX_BYTES} bytes")
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    lines = enumerate(text.split("\n"), 1)
    return [
        pair
        for number, line in lines
        if (
            pair := _parse_line(
                line.removesuffix("\r").lstrip(), f"{untrusted_path}, line {number}"
            )
        )
    ]


def _parse_line(untrusted_line: str, where: str) -> tuple[str, str] | None:
    if not untrusted_line or untrusted_line.startswith("#"):
        return None
    name, equals, value = untrusted_line.partition("=")
    if not name or name.split() != [name] or "\0" in untrusted_line:
        # The line may hold a secret: say only where it is (G6).
        raise ArgumentTypeError(f"{where} is not NAME=VALUE")
    if equals:
        return name, value
    return (name, os.environ[name]) if name in os.environ else None
