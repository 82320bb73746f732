"""Options of the commands that copy a repository or a directory into a guest."""

from __future__ import annotations

import os
from argparse import Namespace

from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError

FOR_REPOSITORIES = ("branch", "from_ref", "full", "include_untracked")
"""Options that exclude --plain."""


def add_plain(parser: Parser) -> None:
    """Add --plain."""
    parser.add_argument(
        "--plain",
        action="store_true",
        help="copy the directory as it is, in a repository or not",
    )


def find_place(arguments: Namespace) -> tuple[str, str]:
    """Return the directory to copy and, relative to it, the directory that was named.

    Raises:
        UsageError: options exclude each other.
        NotARepository: there is no repository, or no directory.
    """
    from banger.workspace import locate_directory, locate_repository

    if arguments.plain:
        for name in FOR_REPOSITORIES:
            if getattr(arguments, name):
                option = name.removesuffix("_ref").replace("_", "-")
                raise UsageError(f"--plain and --{option} exclude each other.")
        return os.fspath(locate_directory(arguments.path)), "."
    top = os.path.realpath(locate_repository(arguments.path))
    return top, os.path.relpath(os.path.realpath(arguments.path), top)


def add_full(parser: Parser) -> None:
    """Add --full."""
    parser.add_argument(
        "--full",
        action="store_true",
        help="copy all history, the contents of submodules, and LFS objects",
    )


def add_exclude(parser: Parser) -> None:
    """Add --exclude."""
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="exclude paths, as a line of .gitignore does; also from exports",
    )


def add_read_only(parser: Parser) -> None:
    """Add --read-only."""
    parser.add_argument(
        "--read-only",
        action="store_true",
        help="make the copy read-only in the guest; it cannot be exported",
    )
