"""A repository's banger.toml: what it may say, and what is said of a fault (F6)."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from banger.errors import ConfigInvalid
from banger.project.file import KEYS, Port, Project, describe_project, parse_project
from banger.project.starting import SETUPS, render_start
from tests.unit.project.sources import CHECKOUT

WHOLE = """\
image = "debian-trixie"
vcpu = 2
memory = "2G"
disk = "20G"
network = "none"
ports = [8000, "8080:80", "5353:53/udp"]
secrets = ["TOKEN"]

[env]
CI = "1"

[workspace]
read_only = true
exclude = ["/assets/", "!*.pem"]
"""


def test_a_whole_file() -> None:
    assert parse_project(WHOLE, "f") == Project(
        image="debian-trixie",
        vcpu=2,
        memory_mib=2048,
        disk_mib=20480,
        network="none",
        ports=(
            Port(guest=8000),
            Port(guest=80, host=8080),
            Port(guest=53, host=5353, protocol="udp"),
        ),
        secrets=("TOKEN",),
        env={"CI": "1"},
        read_only=True,
        exclude=("/assets/", "!*.pem"),
    )


def test_what_a_person_is_shown() -> None:
    assert describe_project(parse_project(WHOLE, "f")) == [
        "image: debian-trixie",
        "vcpu: 2",
        "memory: 2 GiB",
        "disk: 20 GiB",
        "network: none",
        "ports: 8000, 8080:80, 5353:53/udp",
        "secrets: TOKEN",
        "workspace.exclude: /assets/, !*.pem",
        "workspace.read_only: yes",
        "env: CI=1",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('imgae = "a"\n', "f, line 1: there is no key imgae"),
        ("\n[vm]\nvcpu = 1\n", "f, line 2: there is no key vm"),
        (
            '[workspace]\nexclude = ["a\\nb"]\n',
            "f, line 2: workspace.exclude is ['a\\nb'], expected",
        ),
        ("[env]\n[env.deep]\n", "f, line 1: env is {'deep': {}}, expected texts"),
        ('"env.A" = "1"\n', 'there is no key "env.A"'),
        ("vcpu = 0\n", "f, line 1: vcpu is 0, expected a whole number from 1 to"),
        ("memory = 2048\n", "f, line 1: memory is 2048, expected a size with a unit"),
        ('memory = "2048"\n', "expected a size with a unit"),
        ('disk = "1M"\n', "disk is '1M', expected a size with a unit, such as \"2G\", from 64 MiB"),
        ('network = "host"\n', "expected one of user, bridge, none"),
        ('image = ""\n', "expected a name"),
        ('image = "a\\u001b[2J"\n', "expected a name"),
        ("setup.commands = []\n", "setup.commands is [], expected a list of 1 to"),
        ("[setup]\ncommands = [' ']\n", "line 2: setup.commands is [' '], expected texts"),
        ('setup.commands = ["a\\u0000"]\n', "expected texts that are commands"),
        ("[setup]\ncommand = ['a']\n", "line 2: there is no key setup.command"),
        ('setup.inputs = ["../a"]\n', "expected files of the repository"),
        ('setup.inputs = ["/etc/passwd"]\n', "expected files of the repository"),
        ('setup.inputs = ["a//b"]\n', "expected files of the repository"),
        ('setup.inputs = ["a", "a"]\n', "expected each file once"),
        ('sessions = ["a"]\n', "expected a table"),
        ("[sessions]\nWeb = 'a'\n", "sessions is {'Web': 'a'}, expected names of lower-case"),
        ("[sessions]\nweb = ''\n", "expected texts that are commands"),
        ("[sessions]\nweb = ['a']\n", "expected texts that are commands"),
        ("ports = 8000\n", "expected a list"),
        ("ports = [0]\n", "expected ports from 1 to 65535"),
        ("ports = [65536]\n", "expected ports from 1 to 65535"),
        ("ports = [true]\n", "expected ports of the loopback"),
        ('ports = ["0.0.0.0:80:80"]\n', "expected ports of the loopback"),
        ('ports = ["/run/docker.sock:80"]\n', "expected ports of the loopback"),
        ('ports = ["./x:80"]\n', "expected ports of the loopback"),
        ('ports = [80, "81:80"]\n', "expected each port once"),
        ('ports = ["81:80", "81:82"]\n', "expected each port once"),
        ('secrets = ["../seed"]\n', "expected names of secrets"),
        ("secrets = [1]\n", "expected names of secrets"),
        ('secrets = "TOKEN"\n', "expected a list of at most 8"),
        ('[env]\n"A B" = "1"\n', "expected names of letters"),
        ("[env]\nA = 1\n", "expected texts"),
        ('[env]\nA = "\\u0000"\n', "expected texts"),
        ("vcpu = \n", "f is not valid TOML"),
        ("vcpu = 1\nvcpu = 2\n", "f is not valid TOML"),
    ],
)
def test_a_fault_is_one_sentence(text: str, said: str) -> None:
    """F6: with file, line and key; what would reach beyond the guest has no way to be said."""
    with pytest.raises(ConfigInvalid) as caught:
        parse_project(text, "f")
    assert said in caught.value.message
    assert "\n" not in caught.value.message.rstrip("\n") or "TOML" in caught.value.message


def test_a_near_key_is_offered() -> None:
    """F6."""
    with pytest.raises(ConfigInvalid) as caught:
        parse_project('memroy = "1G"\n', "f")
    assert caught.value.hint == "did you mean memory? (banger init --print shows all)"


def test_a_key_has_at_most_a_hundred_names() -> None:
    """F6: a table's and a value's; tomllib takes a time that grows with their square."""
    for names in ("a" + ".a" * 99, "'a . b' \t. a" + ".-" * 98, r'"\""' + r'."\""' * 99):
        for text in (f"{names} = 1", f"[{names}]\nb = 1"):
            with pytest.raises(ConfigInvalid, match=r"there is no key"):
                parse_project(text, "f")
            with pytest.raises(ConfigInvalid, match=r"^f is nested too deep\.$"):
                parse_project(text.replace(names, f'{names} . "b"'), "f")


@given(st.text(max_size=300))
@example("a = " + "[" * 20_000)
@example("a" + ".a" * 20_000 + " = 1")
@example("vcpu = 0x" + "f" * 20_000)
@example("vcpu = " + "9" * 20_000)
@example("ports = [" + "1," * 20_000 + "]")
@example("env = {" + ", ".join(f"A{n} = 'x'" for n in range(2000)) + "}")
@example("vcpu = [" + "{a=" * 200 + "1" + "}" * 200 + "]")
def test_any_text_is_a_project_or_a_refusal(text: str) -> None:
    """F6: whatever a repository holds."""
    said = ""
    try:
        parse_project(text, "f")
    except ConfigInvalid as error:
        said = error.message
    assert len(said) < 1000


def test_a_new_file_asks_for_nothing_and_shows_each_key() -> None:
    start = render_start()
    assert parse_project(start, "f") == Project()
    for key in KEYS:
        line = f"# {key.name} = {key.example}\n"
        assert start.count(line) == 1
        assert describe_project(parse_project(line[2:], "f")) != []


def test_a_new_file_has_the_setup_that_fits_the_repository() -> None:
    start = render_start(["uv.lock", "pyproject.toml", "go.sum", "go.mod", "README"])
    lines = [line[2:] for line in start.splitlines() if line.startswith("# setup.")]
    project = parse_project("\n".join(lines), "f")
    assert project.setup_commands == ("uv sync --frozen --no-install-project", "go mod download")
    assert project.setup_inputs == ("pyproject.toml", "uv.lock", "go.mod", "go.sum")
    assert parse_project(start, "f") == Project()
    everything = [name for name, _, inputs in SETUPS for name in (name, *inputs)]
    lines = [x[2:] for x in render_start(everything).splitlines() if x.startswith("# setup.")]
    assert len(parse_project("\n".join(lines), "f").setup_commands) == len(SETUPS)


def test_every_key_is_documented() -> None:
    """H10."""
    page = (CHECKOUT / "docs/banger-toml.md").read_text("utf-8")
    for key in KEYS:
        assert f"| `{key.name}` |" in page, key.name
