"""Help pages, near matches, completion: what the table of commands gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.cli.app.main import _main
from banger.cli.app.parser import HelpAsked
from banger.cli.app.reference import render_reference
from banger.cli.app.table import COMMANDS, GROUPS, Command, find_command, find_group, render_group
from banger.cli.app.usage import UsageError

CHECKOUT = Path(__file__).resolve().parents[3]


def test_the_page_of_commands_is_up_to_date() -> None:
    """H10. It is the golden file of every help page: `python -m banger.cli.app.reference`."""
    assert (CHECKOUT / "docs/cli.md").read_text("utf-8") == render_reference()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.path)
def test_every_page_fits_and_every_option_has_a_text(command: Command) -> None:
    parser, _ = command.load()
    page = parser.format_help()
    assert [line for line in page.splitlines() if len(line) > 80] == []
    assert all(action.help for action in parser._actions)
    with pytest.raises(HelpAsked, match="usage: banger"):
        parser.parse(["--help"])


def test_group_pages_fit_and_name_their_commands() -> None:
    for group in ("", *GROUPS):
        page = render_group(group)
        assert [line for line in page.splitlines() if len(line) > 80] == []
        assert find_group(group.split()) == group
        assert find_group([*group.split(), "--help"]) == group
    for command in COMMANDS:
        group, _, name = command.path.rpartition(" ")
        assert name in render_group(group)
    overview = " ".join(render_group("").split())
    for command in COMMANDS:
        if " " not in command.path:
            assert f" {command.path} {command.summary}" in overview


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("vm lsit", "banger vm list"),
        ("vm exce box", "banger vm exec box"),
        ("iamge list", "banger image list"),
        ("rnu", "banger vm run"),
        ("lsit", "banger vm list"),
        ("vm workspace exprot", "banger vm workspace export"),
        ("daemon stat", "banger daemon status"),
        ("xyzzy", "banger --help"),
    ],
)
def test_a_typo_gets_the_nearest_command(typed: str, hint: str) -> None:
    """H6: exit code 2 and what was probably meant."""
    with pytest.raises(UsageError) as caught:
        find_command(typed.split())
    assert caught.value.exit_code == 2
    assert caught.value.hint == hint


def test_aliases_are_the_same_command() -> None:
    for command in COMMANDS:
        for name in command.aliases:
            assert find_command([*name.split(), "x"]) == (command, ["x"])


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        ("vm list --josn", "has no option --josn", "did you mean --json?"),
        ("vm list --js", "has no option --js", "--json"),
        ("vm show", "required", "banger vm show --help"),
        ("vm list extra", "takes no argument", "banger vm list --help"),
        ("vm run a b", "takes no argument", "put -- before the command"),
        ("vm list --filter running", "not a filter", "--filter state=running"),
        ("setup --dns --bridge", "not allowed with argument --dns", "banger setup --help"),
        ("completion bsh", "no completion", "banger completion bash"),
    ],
)
def test_what_is_wrong_with_the_words_is_said(
    words: str, says: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """H6: a fact and a hint, on stderr; nothing on stdout."""
    status = _main(words.split())
    printed = capsys.readouterr()
    assert status == (125 if words.startswith("vm run") else 2)
    assert printed.out == ""
    assert says in printed.err
    assert hint in printed.err


def test_words_after_two_dashes_are_the_commands_own() -> None:
    command, rest = find_command("vm exec box -e A=1 -- ls --json -- -x".split())
    parser, _ = command.load()
    arguments = parser.parse(rest)
    assert arguments.command == ["ls", "--json", "--", "-x"]
    assert arguments.env == [("A", "1")]
