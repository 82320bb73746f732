"""What a repository pins: each file, what counts where two disagree, and hostile contents (F4)."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from banger.toolingplan.plan import FILES, plan_tooling

TOOL = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,63}")


def pins(name: str, text: str) -> list[str]:
    return [f"{pin.tool} {pin.version}" for pin in plan_tooling({name: text.encode()}).pins]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            ".tool-versions",
            "nodejs 20.11.0 18\n# python 2\ngolang 1.22  # why\n\nterraform 1.7.4-beta1\n",
            ["node 20.11.0", "go 1.22", "terraform 1.7.4-beta1"],
        ),
        (".tool-versions", "python system\nruby 3.3.0\n", ["ruby 3.3.0"]),
        (
            "mise.toml",
            '[env]\nA = "{{ exec(command=\'x\') }}"\n[tools]\nnode = "22"\n'
            'python = ["3.12", "3.11"]\n'
            'go = { version = "1.22", postinstall = "rm -rf /" }\n[hooks]\nenter = "x"\n',
            ["node 22", "python 3.12", "go 1.22"],
        ),
        (".mise.toml", '[tools]\nnode = "lts"\n', ["node lts"]),
        (".nvmrc", "v18.19.1\n", ["node 18.19.1"]),
        (".nvmrc", "lts/*", ["node lts"]),
        (".nvmrc", "lts/iron\r\n", ["node lts-iron"]),
        (".nvmrc", "node", ["node latest"]),
        (".node-version", "\ufeff20\n", ["node 20"]),
        (".python-version", "3.11.4\n3.10\n", ["python 3.11.4"]),
        (".python-version", "pypy3.9-7.3.11\n", ["python pypy3.9-7.3.11"]),
        (".python-version", "python-3.12\n", ["python 3.12"]),
        (".python-version", "system\n3.9\n", ["python 3.9"]),
        (".ruby-version", "ruby-3.2.2\n", ["ruby 3.2.2"]),
        (".java-version", "temurin-21.0.2+13.0.LTS\n", ["java temurin-21.0.2+13.0.LTS"]),
        ("rust-toolchain.toml", '[toolchain]\nchannel = "1.74"\n', ["rust 1.74"]),
        ("rust-toolchain", "nightly-2024-01-31\n", ["rust nightly-2024-01-31"]),
        ("go.mod", "module a\n\ngo 1.21 // why\n", ["go 1.21"]),
        ("go.mod", "go 1.21\n\ntoolchain go1.22.1\n", ["go 1.22.1"]),
        ("go.mod", "go 1.21\ntoolchain default\n", ["go 1.21"]),
        (
            "package.json",
            '{"engines": {"node": ">=18 <21", "npm": "9"}, "packageManager": "pnpm@8.15.4+sha.0f"}',
            ["node 18", "pnpm 8.15.4"],
        ),
        ("package.json", '{"engines": {"node": "^18.2.0 || ^20.1.0"}}', ["node 20"]),
        ("package.json", '{"engines": {"node": "~18.2.1"}}', ["node 18.2"]),
        ("package.json", '{"engines": {"node": "18.x"}}', ["node 18"]),
        ("package.json", '{"engines": {"node": "*"}}', ["node latest"]),
        ("package.json", '{"name": "a"}', []),
        ("Gemfile", 'source "x"\nruby "3.2.2"\n', ["ruby 3.2.2"]),
        ("Gemfile", "ruby '~> 3.2.1'\n", ["ruby 3.2"]),
        ("Gemfile", "ruby file: '.ruby-version'\n", []),
        ("uv.lock", 'version = 1\nrequires-python = ">=3.11"\n', ["uv latest", "python 3.11"]),
        ("uv.lock", 'requires-python = "==3.12.*"\n', ["uv latest", "python 3.12"]),
    ],
)
def test_each_file(name: str, text: str, expected: list[str]) -> None:
    assert pins(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (".tool-versions", "node $(reboot)\n", "'$(reboot)' is not a version of node."),
        (".tool-versions", "../x 1\n", "'../x' is not the name of a tool."),
        (".tool-versions", "node ref:master\n", "'ref:master' is not a version of node."),
        (".tool-versions", "node\n", "'node' has no version."),
        (".nvmrc", "--help\n", "'--help' is not a version of node."),
        (".python-version", "python-\n", "'' is not a version of python."),
        (".python-version", "3.11; rm\n", "'3.11;' is not a version of python."),
        ("mise.toml", '[tools]\n"npm:x" = "1"\n', "'npm:x' uses a backend of mise"),
        ("mise.toml", "[tools]\nnode = 20\n", "'node' has no version."),
        ("mise.toml", '[tools]\nnode = "{{env.X}}"\n', "'{{env.X}}' is not a version"),
        ("mise.toml", "tools = 1\n", "tools is not a table."),
        ("mise.toml", "[[", "It is not valid TOML."),
        ("rust-toolchain.toml", "[toolchain]\npath = '/x'\n", "There is no channel."),
        ("package.json", "{", "It is not valid JSON."),
        ("package.json", "[]", "It is not a JSON object."),
        (
            "package.json",
            '{"engines": {"node": "<20"}}',
            "'<20' does not name a lowest version of node",
        ),
        ("package.json", '{"packageManager": "curl@1"}', "is not a known package manager"),
    ],
)
def test_what_is_not_understood_is_said(name: str, text: str, said: str) -> None:
    """F4: nothing of it is taken, and the file is named."""
    plan = plan_tooling({name: text.encode()})
    assert plan.pins == ()
    (problem,) = plan.problems
    assert problem.startswith(f"{name}: ") and said in problem


def test_the_first_file_counts_and_the_others_are_told() -> None:
    plan = plan_tooling(
        {
            "package.json": b'{"engines": {"node": ">=16"}}',
            ".nvmrc": b"18",
            ".tool-versions": b"nodejs 20",
            "mise.toml": b"[tools]\npython = '3.12'\n",
        }
    )
    assert [(p.tool, p.version, p.source, p.is_chosen) for p in plan.pins] == [
        ("python", "3.12", "mise.toml", True),
        ("node", "20", ".tool-versions", True),
        ("node", "18", ".nvmrc", False),
        ("node", "16", "package.json", False),
    ]


CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.text(alphabet="gorubytlchaindefxX 0123456789.\n\"'=[]{}:#<>|~^*@v/-", max_size=200).map(
        str.encode
    ),
    st.dictionaries(st.sampled_from(["engines", "packageManager", "x"]), st.text() | st.none()).map(
        lambda value: json.dumps(value).encode()
    ),
    st.text(max_size=50).map(lambda text: json.dumps({"engines": {"node": text}}).encode()),
)


@given(st.dictionaries(st.sampled_from(list(FILES)), CONTENTS, max_size=4))
@example({"package.json": b"[" * 100_000})
@example({"package.json": b'{"a": ' * 50_000})
@example({"package.json": b'{"engines": {"node": "' + b"9" * 100_000 + b'"}}'})
@example({"package.json": b"1" * 100_000})
@example({"mise.toml": b"a = " + b"[" * 100_000})
@example({"mise.toml": b"tools = {a = 0x" + b"f" * 20_000 + b"}"})
@example({"mise.toml": b"a" + b".a" * 500_000 + b" = 1"})  # tomllib alone takes an hour
@example({"mise.toml": b'"' + b' \\"' * 300_000})
@example({".tool-versions": b"a 1\n" * 100_000})
@example({"Gemfile": b"ruby '" + b"a" * 100_000 + b"'"})
@example({"go.mod": b"go " + b" " * 100_000 + b"x"})
@example({"uv.lock": b'requires-python = "' + b">" * 100_000 + b'"'})
@example(dict.fromkeys(FILES, b"\xff\xfe\0"))
def test_any_contents_give_pins_of_the_grammar_or_problems(files: dict[str, bytes]) -> None:
    """F4: whatever a repository holds, what comes out is fit for a command line and a terminal."""
    plan = plan_tooling(files)
    for pin in plan.pins:
        assert TOOL.fullmatch(pin.tool) and VERSION.fullmatch(pin.version), pin
        assert pin.source in files
    chosen = [pin.tool for pin in plan.pins if pin.is_chosen]
    assert len(chosen) == len(set(chosen)) == len({pin.tool for pin in plan.pins})
    assert all(len(problem) < 400 and problem.isprintable() for problem in plan.problems)
