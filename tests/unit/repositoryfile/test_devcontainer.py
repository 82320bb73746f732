"""devcontainer.json: what is taken, what is left out and told; hostile contents (F4, F6, G6)."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from banger.errors import ConfigInvalid
from banger.project.devcontainer import parse_devcontainer
from banger.project.file import Port, Project, describe_project

WHOLE = """\
// A comment, "with a text" in it
{
    "name": "A project", /* over
    lines */
    "image": "mcr.example/python:3.12", // behind
    "features": {"ghcr.io/devcontainers/features/node:1": {}},
    "forwardPorts": [8000, 8000, "db:5432", 0, true],
    "containerEnv": {"A": "//no comment, } ]", "W": "${containerWorkspaceFolder}/x", "N": null},
    "remoteEnv": {"B": "2", "SECRET": "${localEnv:HOME}"},
    "workspaceFolder": "/work/${localWorkspaceFolderBasename}/",
    "remoteUser": "vscode",
    "onCreateCommand": "echo 1",
    "postCreateCommand": {"a": "echo ${containerWorkspaceFolder}", "b": ["echo", "two words"]},
    "postStartCommand": ["true"],
    "postAttachCommand": "x",
    "customizations": {"vscode": {"extensions": [],},},
}
"""


def parse(text: str) -> Project:
    return parse_devcontainer(text, "f", repository="project")


def test_a_whole_file() -> None:
    project = parse(WHOLE)
    assert project == Project(
        image="mcr.example/python:3.12",
        ports=(Port(guest=8000),),
        env={"A": "//no comment, } ]", "W": "/work/project/x", "B": "2"},
        guest_path="/work/project",
        on_create=(
            ("/bin/sh", "-c", "echo 1"),
            ("/bin/sh", "-c", "echo /work/project"),
            ("echo", "two words"),
        ),
        on_start=(("true",),),
        left_out=project.left_out,
    )
    assert project.left_out == (
        "forwardPorts 'db:5432' is left out: it is not a port of a VM.",
        "forwardPorts 0 is left out: it is not a port of a VM.",
        "forwardPorts True is left out: it is not a port of a VM.",
        "remoteEnv.SECRET is left out: its value is not known here.",
        "'features' is left out: it is not for a VM.",
        "'postAttachCommand' is left out: it is not for a VM.",
        "remoteUser 'vscode' is left out: a workspace belongs to root.",
    )
    assert describe_project(project)[-4:] == [
        "runs in the workspace: echo 1",
        "runs in the workspace: echo /work/project",
        "runs in the workspace: echo two words",
        "runs there at each start: true",
    ]


def test_what_says_nothing_asks_for_nothing() -> None:
    assert parse('{"name": "a", "remoteUser": "root", "postCreateCommand": ""}') == Project()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f is not valid JSON"),
        ("[]", "f is not a JSON object"),
        ('{"a": 1', "f is not valid JSON"),
        ('{"image": 1}', "f: image is 1, expected a text"),
        ('{"image": "a\\u0000"}', "expected a name"),
        ('{"forwardPorts": 80}', "expected a list of ports"),
        ('{"containerEnv": []}', "expected a table of variables"),
        ('{"containerEnv": {"A B": "1"}}', "expected names of letters"),
        ('{"remoteEnv": {"A": "\\u0000"}}', "expected texts"),
        ('{"workspaceFolder": "work"}', "expected an absolute path"),
        ('{"workspaceFolder": "/../etc"}', "expected an absolute path"),
        ('{"workspaceFolder": "/"}', "expected an absolute path"),
        ('{"postCreateCommand": 1}', "expected a command"),
        ('{"postCreateCommand": [["a"]]}', "expected a command"),
        ('{"postCreateCommand": "a\\u0000"}', "expected a command"),
        ('{"postCreateCommand": "\\ud800"}', "expected a command"),
        ('{"postStartCommand": {"a": 1}}', "expected a command"),
    ],
)
def test_a_fault_is_one_sentence(text: str, said: str) -> None:
    """F6."""
    with pytest.raises(ConfigInvalid) as caught:
        parse(text)
    assert said in caught.value.message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(
    "image forwardPorts containerEnv remoteEnv workspaceFolder remoteUser postCreateCommand "
    "postStartCommand features".split()
)


@given(
    st.text(alphabet='{}[]",:/*\\ \nab1', max_size=200)
    | st.dictionaries(KEYS, VALUES, max_size=4).map(json.dumps)
)
@example("[" * 60_000)
@example('{"a":' * 10_000)
@example("/*" * 30_000)
@example('"' * 60_001)
@example("{" + "," * 60_000 + "}")
@example("{" + ", " * 30_000)
@example('{"forwardPorts": [' + "9" * 10_000 + "]}")
@example('{"image": "' + "\\\\" * 30_000)
def test_any_text_is_a_project_or_a_refusal(text: str) -> None:
    """F4, F6: whatever a repository holds, and fit for a terminal."""
    said: tuple[str, ...] = ()
    try:
        said = parse(text).left_out
    except ConfigInvalid as error:
        said = (error.message,)
    assert all(len(each) < 1000 for each in said)
