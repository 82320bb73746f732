"""What users of docker, podman, kubectl, lima, multipass, vagrant and git type (H6).

Each line either works as the command that means the same, or is refused with the command that
does it here.
"""

from __future__ import annotations

import shlex

import pytest

from banger.cli.app import foreign_options as otheroptions
from banger.cli.app import foreign_words as otherwords
from banger.cli.app.main import _main
from banger.cli.app.table import COMMANDS, GROUPS, find_command, move_help
from banger.cli.app.usage import UsageError
from tests.unit.project.hints import find_faults

WORKS = {
    "run -- true": "vm run -- true",
    "exec web1 -- ls": "vm exec web1 -- ls",
    "shell web1": "vm shell web1",
    "ls": "vm list",
    "list": "vm list",
    "ps -a": "vm list",
    "stop web1": "vm stop web1",
    "rm -f web1": "vm delete -f web1",
    "logs -f web1": "vm logs -f web1",
    "start web1": "vm start web1",
    "top web1": "vm top web1",
    "inspect web1": "vm show web1",
    "vm inspect web1": "vm show web1",
    "info web1": "vm show web1",
    "vm destroy web1": "vm delete web1",
    "halt web1": "vm stop web1",
    "suspend web1": "vm pause web1",
    "unpause web1": "vm resume web1",
    "attach web1 calm-otter": "vm session attach web1 calm-otter",
    "images": "image list",
    "image inspect a": "image show a",
    "rmi a": "image delete a",
    "pull alpine": "image pull alpine",
    "image load a.tar": "image import a.tar",
    "snapshot create web1": "vm snapshot create web1",
    "vm snapshot take web1": "vm snapshot create web1",
    "workspace export web1": "vm workspace export web1",
    "cp a.txt web1:/root/a": "vm cp a.txt web1:/root/a",
    "cp -a web1:b .": "vm cp --archive web1:b .",
    "scp -r web1:dir .": "vm cp web1:dir .",
    "vm transfer a web1:": "vm cp a web1:",
    "copy a web1:b": "vm cp a web1:b",
    "-V": "version",
    "vm run --cpus 2 -m 1GB -- true": "vm run --vcpu 2 --memory 1024 -- true",
    "vm run -c2 --memory=1g -- true": "vm run --vcpu 2 --memory 1024 -- true",
    "vm run --memory 1GiB -- true": "vm run --memory 1024 -- true",
    "vm run -it --rm -- sh": "vm run --interactive --tty --rm -- sh",
    "vm exec web1 ls -la": "vm exec web1 -- ls -la",
    "vm exec -it web1 bash -c 'a -- b'": "vm exec -i -t web1 -- bash -c 'a -- b'",
    "vm exec web1 -u root -w/tmp git log -- a": "vm exec web1 -u root -w /tmp -- git log -- a",
    "vm exec -e A=1 web1 env": "vm exec -e A=1 web1 -- env",
    "vm shell -it web1": "vm shell web1",
    "vm list -a": "vm list",
    "vm list -o json": "vm list --json",
    "vm list --format=json": "vm list --json",
    "stats --no-stream web1": "vm stats web1",
    "vm stop -t 5 web1": "vm stop --timeout 5 web1",
    "vm logs -n 5 web1": "vm logs --tail 5 web1",
    "vm logs --lines=5 web1": "vm logs --tail 5 web1",
    "daemon logs --lines 5": "daemon logs --tail 5",
    "vm prune -y": "vm prune --force",
    "image build -f a.toml a": "image build --file a.toml a",
}
HINTS = {
    "vm snapshot web1": "banger vm snapshot create web1",
    "snapshot web1": "banger vm snapshot create web1",
    "vm snapshot craete web1": "banger vm snapshot create web1",
    "vm rename web1 web2": "banger vm set web1 --name web2",
    "rename web1": "banger vm set web1 --name NAME",
    "rsync -a dir web1:/root": "banger vm cp dir web1:/root",
    "vm rsync dir": "banger vm cp dir VM:PATH",
    "vm clone web1": "banger vm fork web1",
    "vm port web1": "banger vm port list web1",
    "launch ubuntu": "banger vm run --image ubuntu",
    "up": "banger vm run PATH",
    "build -t x .": "banger image build --file RECIPE NAME",
    "info": "banger doctor",
    "prune": "banger gc --dry-run",
    "login": "docker login REGISTRY (what docker has stored is used)",
    "config set driver qemu": otherwords.SETTING,
    "--json vm list": "banger vm list --json",
    "-q ls": "banger vm ls -q",
    "-v": "banger --version",
    "vm run -v .:/src -- true": otheroptions._COPIED,
    "vm run -P -- true": otheroptions._PORTS,
    "vm run --publish-all -- true": otheroptions._PORTS,
    "vm logs --until 1h web1": "banger vm logs --tail 20 VM",
    "vm stop --force web1": "banger vm stop --timeout 5s VM",
}
HELP = {
    "help": "--help",
    "help vm run": "vm run --help",
    "vm help run": "vm run --help",
    "vm run help": "vm run --help",
    "stop help": "stop --help",
    "help stop": "stop --help",
    "vm help": "vm --help",
    "vm stop help me": "vm stop help me",
    "vm exec web1 -- help": "vm exec web1 -- help",
}


def _parse(line: str) -> tuple[str, dict[str, object]]:
    command, rest = find_command(move_help(shlex.split(line)))
    parser, _ = command.load()
    return command.path, vars(parser.parse(rest))


@pytest.mark.parametrize(("typed", "ours"), WORKS.items())
def test_words_that_mean_the_same_work(typed: str, ours: str) -> None:
    assert _parse(typed) == _parse(ours)


@pytest.mark.parametrize(("typed", "hint"), HINTS.items())
def test_words_for_what_is_done_otherwise_get_the_command(typed: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        _parse(typed)
    assert caught.value.hint == hint
    assert find_faults(hint) == []


@pytest.mark.parametrize(("typed", "ours"), HELP.items())
def test_help_is_understood_wherever_it_stands(typed: str, ours: str) -> None:
    assert move_help(typed.split()) == ours.split()


def test_a_directory_named_help_is_a_path(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("here")
    (folder / "help").mkdir()
    monkeypatch.chdir(folder)
    assert move_help(["vm", "run", "help"]) == ["vm", "run", "help"]


def test_a_group_needs_no_vm_in_front(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["snapshot", "--help"]) == 0
    assert "usage: banger vm snapshot COMMAND" in capsys.readouterr().out


def test_every_word_of_the_tables_leads_to_a_command() -> None:
    """A word of another tool never hides one of ours, and each synonym has something to mean."""
    names = {name for command in COMMANDS for name in (command.path, *command.aliases)}
    verbs = {name.split()[-1] for name in names}
    assert [(hint, f) for hint in otherwords.INSTEAD.values() if (f := find_faults(hint))] == []
    assert set(otherwords.VERBS.values()) <= verbs
    assert set(otherwords.VERBS) & verbs == set()
    assert set(otherwords.COMMANDS.values()) <= names
    assert (set(otherwords.INSTEAD) | set(otherwords.COMMANDS)) & (names | set(GROUPS)) == set()


def test_every_option_of_the_tables_is_foreign_and_leads_to_ours() -> None:
    tables = (
        *((names, many, ours) for names, many, ours in otheroptions.RENAMED),
        *((names, many, None) for names, many, _ in otheroptions.INSTEAD),
        *((names, many, None) for names, many in otheroptions.DROPPED),
    )
    assert [(hint, f) for *_, hint in otheroptions.INSTEAD if (f := find_faults(hint))] == []
    options = {command.path: _options(command.path) for command in COMMANDS}
    for names, many, ours in tables:
        for name in names:
            assert ours is None or ours in options[name], (name, ours)
            assert not set(many.split()) & options[name], (name, many)


def _options(path: str) -> set[str]:
    parser, _ = find_command(path.split())[0].load()
    return {text for action in parser._actions for text in action.option_strings}
