"""One meaning for each option and one shape for each kind of document, in every command (H10)."""

from __future__ import annotations

import json
from argparse import Action
from collections.abc import Iterator

import pytest

from banger.cli.app.main import _main
from banger.cli.app.table import COMMANDS, Command
from banger.cli.app.values import VM_STATES
from banger.cli.commands.events import KINDS
from banger.cli.options.vm import EGRESS_PROFILES
from banger.cli.terminal.output import format_json, format_time
from banger.model.egress import Profile
from banger.model.vm import EventKind, VmState

DELETES = ("delete", "prune")


def _options() -> Iterator[tuple[Command, Action]]:
    for command in COMMANDS:
        parser, _ = command.load()
        yield from ((command, a) for a in parser._actions if a.option_strings)


def _is_list(command: Command) -> bool:
    return command.path.split()[-1] in ("list", "catalog")


LISTS = [command for command in COMMANDS if _is_list(command)]


def test_f_is_follow_where_a_command_prints_and_force_where_it_deletes() -> None:
    for command, action in _options():
        if "-f" in action.option_strings:
            deletes = command.path.split()[-1] in DELETES
            assert action.dest == ("force" if deletes else "follow"), command.path
        elif action.dest in ("follow", "force"):
            assert action.dest == "force", command.path
            assert command.path.split()[-1] not in DELETES, command.path


def test_quiet_prints_ids_only_where_a_command_lists_and_less_elsewhere() -> None:
    for command, action in _options():
        assert ("-q" in action.option_strings) == (action.dest == "quiet"), command.path
        if action.dest == "quiet":
            start = "print " if _is_list(command) else "no progress"
            assert str(action.help).startswith(start), command.path
    lists = {command.path for command in LISTS}
    quiet = {command.path for command, action in _options() if action.dest == "quiet"}
    assert lists <= quiet


@pytest.mark.parametrize("command", LISTS, ids=lambda command: command.path)
def test_a_list_is_printed_as_json_or_as_ids(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither is ignored beside the other."""
    parser, _ = command.load()
    needed = ["x"] * sum(a.nargs is None and not a.option_strings for a in parser._actions)
    assert _main([*command.path.split(), *needed, "--json", "-q"]) == 2
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "invalid-request"
    assert "not allowed with argument" in error["message"]


def test_whatever_lists_or_shows_has_json() -> None:
    with_json = {command.path for command, action in _options() if action.dest == "json"}
    verbs = ("list", "show", "catalog", "stats", "status", "ports", "create")
    assert {c.path for c in COMMANDS if c.path.split()[-1] in verbs} <= with_json


def test_an_error_is_an_object_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    """H6: one line on stderr; the status is the same. Without --json it is text."""
    assert _main(["vm", "list", "--json", "--filter", "running"]) == 2
    printed = capsys.readouterr()
    document = json.loads(printed.err)
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert document["error"]["exit_code"] == 2
    assert document["error"]["hint"] == "--filter state=running"
    assert _main(["vm", "list", "--filter", "running"]) == 2
    assert capsys.readouterr().err.startswith("banger: ")


def test_times_are_those_of_rfc_3339() -> None:
    assert format_time(0.25) == "1970-01-01T00:00:00.250Z"
    shown = json.loads(format_json([{"created_at": 1e9, "vcpu": 1, "labels": {"at": "1"}}]))
    assert shown == [{"created_at": "2001-09-09T01:46:40.000Z", "vcpu": 1, "labels": {"at": "1"}}]
    assert "\n" not in format_json({"ends_at": None}, indent=None)


def test_the_words_of_filters_and_profiles_are_those_of_the_api() -> None:
    """Written again, since no command imports the model."""
    assert tuple(EventKind) == KINDS
    assert tuple(VmState) == VM_STATES
    assert set(Profile) == set(EGRESS_PROFILES)
