"""`banger.toml` in a repository: trusted once, then followed by `vm run`; `init`, `trust`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.component.cli.terminal import Terminal
from tests.component.daemon.running import banger, layout_of, read_events
from tests.support import repositories

Environ = dict[str, str]
ASKED = 'vcpu = 2\nmemory = "1G"\n'


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository that asks for two processors and a gibibyte."""
    top = repositories.init(tmp_path / "project")
    repositories.write(top, "banger.toml", ASKED.encode())
    repositories.commit(top)
    return top


def shape(daemon: Environ, name: str = "box") -> tuple[int, int]:
    view = json.loads(banger(daemon, "vm", "show", "--json", name).stdout)
    view = view[0] if isinstance(view, list) else view
    return view["vcpu"], view["memory_mib"]


def run(daemon: Environ, top: Path, *options: str) -> tuple[int, str]:
    done = banger(daemon, "vm", "run", "-d", "--name", "box", *options, str(top))
    return done.returncode, done.stderr.decode()


def test_nothing_is_followed_before_it_is_trusted(daemon: Environ, top: Path) -> None:
    """C7: refused where nobody can be asked, with the command that trusts."""
    status, said = run(daemon, top)
    assert status == 125
    assert "banger.toml is new or was changed" in said
    assert f"hint: banger trust {top}" in said
    assert read_events(daemon) == []
    assert run(daemon, top, "--no-project")[0] == 0
    assert shape(daemon) == (1, 512)


def test_trusted_once_it_is_followed(daemon: Environ, top: Path) -> None:
    """And in another clone, too; a changed content is asked for anew, and trust can be revoked."""
    done = banger(daemon, "trust", str(top / "."))
    assert done.returncode == 0
    assert b"vcpu: 2" in done.stdout
    other = repositories.init(top.parent / "other")
    repositories.write(other, "banger.toml", ASKED.encode())
    repositories.commit(other)
    assert run(daemon, other)[0] == 0
    assert shape(daemon) == (2, 1024)
    repositories.write(top, "banger.toml", b"vcpu = 3\n")
    assert run(daemon, top)[0] == 125
    assert banger(daemon, "trust", "--revoke", str(other)).returncode == 0
    assert run(daemon, other)[0] == 125


def test_an_option_and_the_environment_stand_before_the_file(daemon: Environ, top: Path) -> None:
    assert banger(daemon, "trust", str(top)).returncode == 0
    environ = daemon | {"BANGER_VM_DEFAULTS_MEMORY_MIB": "700"}
    assert run(environ, top, "--vcpu", "4")[0] == 0
    # The scripted daemon has 512 MiB where it is not asked for another size.
    assert shape(daemon) == (4, 512)


def test_on_a_terminal_it_is_shown_and_asked_for(daemon: Environ, top: Path) -> None:
    words = ("vm", "run", "--rm", str(top), "--", "true")
    refusing = Terminal(daemon, *words)
    refusing.expect(b"vcpu: 2")
    refusing.expect(b"Trust it? [y/N] ")
    refusing.send(b"n\n")
    refusing.expect(b"is not trusted yet")
    assert refusing.process.wait(30) == 125
    assert read_events(daemon) == []
    agreeing = Terminal(daemon, *words)
    agreeing.expect(b"Trust it? [y/N] ")
    agreeing.send(b"y\n")
    assert agreeing.process.wait(30) == 0
    (trusted,) = layout_of(daemon).trusted.iterdir()
    assert trusted.read_text() == f"{top}/banger.toml\n"
    assert banger(daemon, *words).returncode == 0


@pytest.mark.parametrize("text", ["vcpus = 2\n", 'vcpu = "many"\n', "vcpu = \n", "\0"])
def test_a_fault_is_told_before_anything_exists(daemon: Environ, top: Path, text: str) -> None:
    """C7, F6: whether it is trusted or not."""
    repositories.write(top, "banger.toml", text.encode())
    status, said = run(daemon, top)
    assert status == 125
    assert said.startswith(f"banger: {top}/banger.toml")
    assert read_events(daemon) == []


def test_a_link_in_its_place_is_not_read(daemon: Environ, top: Path) -> None:
    """F4: what it leads to is the host's."""
    (top / "banger.toml").unlink()
    (top.parent / "host.toml").write_text("vcpu = 2\n")
    (top / "banger.toml").symlink_to("../host.toml")
    for words in (("vm", "run", "-d", str(top)), ("trust", str(top))):
        done = banger(daemon, *words)
        assert done.returncode != 0
        assert b"not followed" in done.stderr
    assert read_events(daemon) == []


def test_init_writes_once(private_environ: Environ, top: Path) -> None:
    """A file that asks for nothing, which needs no trust; one that exists is not touched."""
    taken = banger(private_environ, "init", str(top))
    assert taken.returncode == 5
    assert (top / "banger.toml").read_text() == ASKED
    (top / "banger.toml").unlink()
    made = banger(private_environ, "init", str(top / "."))
    assert made.returncode == 0
    printed = banger(private_environ, "init", "--print")
    assert (top / "banger.toml").read_bytes() == printed.stdout
    dry = banger(private_environ, "trust", str(top))
    assert dry.returncode == 0 and b"asks for nothing" in dry.stdout
    (top / "banger.toml").unlink()
    (top / "banger.toml").symlink_to("../elsewhere")
    assert banger(private_environ, "init", str(top)).returncode == 5
    assert not (top.parent / "elsewhere").exists()


def test_the_plan_of_tools(private_environ: Environ, top: Path) -> None:
    """F4: from the files alone, of any directory in the repository; a link is not read."""
    repositories.write(top, ".nvmrc", b"20\n")
    repositories.write(top, "package.json", b'{"engines": {"node": ">=18"}}')
    repositories.write(top, "go.mod", b"go $(touch /tmp/x)\n")
    repositories.write(top, "sub/file")
    (top.parent / "python").write_text("3.11\n")
    (top / ".python-version").symlink_to("../python")
    shown = banger(private_environ, "vm", "workspace", "plan", str(top / "sub"))
    assert shown.returncode == 0
    assert [line.split() for line in shown.stdout.decode().splitlines()] == [
        ["TOOL", "VERSION", "FILE", "USED"],
        ["node", "20", ".nvmrc", "yes"],
        ["node", "18", "package.json", "no"],
    ]
    assert b"not followed" in shown.stderr
    document = json.loads(
        banger(private_environ, "vm", "workspace", "plan", "--json", str(top)).stdout
    )
    assert document["pins"][0] == {"tool": "node", "version": "20", "file": ".nvmrc", "used": True}
    assert len(document["problems"]) == 1
    assert not layout_of(private_environ).daemon_socket.exists()


def test_a_file_of_variables(vm: Environ, tmp_path: Path) -> None:
    """As docker has it; an option stands before it, and no value is in a message (G6)."""
    file = tmp_path / "variables"
    file.write_bytes(b"# why\n\nA=1\n  B= two 'words' \r\nHERE\nNOT_HERE\nC=\xff\nA=3\n")
    script = 'echo "$A|$B|$HERE|${NOT_HERE-unset}|$C"'
    words = ("--env-file", str(file), "-e", "A=2")
    environ = vm | {"HERE": "host"}
    done = banger(environ, "vm", "exec", *words, "box", "--", "sh", "-c", script)
    assert done.stdout == b"2| two 'words' |host|unset|\xff\n"
    done = banger(environ, "vm", "run", "--rm", *words[:2], "--", "sh", "-c", script)
    assert done.stdout == b"3| two 'words' |host|unset|\xff\n"
    for content in (b"A B=s3cret", b"=s3cret", b"A=s3cret\0"):
        file.write_bytes(b"X=1\n" + content)
        done = banger(vm, "vm", "exec", *words, "box", "--", "true")
        assert done.returncode == 125
        assert b"line 2" in done.stderr and b"s3cret" not in done.stderr
    done = banger(vm, "vm", "exec", "--env-file", "/no/such", "box", "--", "true")
    assert b"/no/such cannot be read" in done.stderr


def test_a_devcontainer_is_followed_when_it_is_trusted(daemon: Environ, tmp_path: Path) -> None:
    """Untrusted it is left alone with a notice: it was not written for banger."""
    top = repositories.init(tmp_path / "container")
    content = b'{"image": "x", "features": {}, "postCreateCommand": "exit 4"}'
    repositories.write(top, ".devcontainer/devcontainer.json", content)
    repositories.commit(top)
    status, said = run(daemon, top)
    assert status == 0
    assert f"devcontainer.json is ignored until you trust it: banger trust {top}" in said
    trusted = banger(daemon, "trust", str(top))
    assert b"image: x" in trusted.stdout
    assert b"runs in the workspace: exit 4" in trusted.stdout
    assert b"'features' is left out" in trusted.stdout
    planned = banger(daemon, "vm", "run", "--dry-run", str(top))
    assert b"runs in the workspace: exit 4" in planned.stderr
    repositories.write(top, "banger.toml", b"vcpu = 2\n")
    assert run(daemon, top)[0] == 125
    (top / "banger.toml").unlink()
    (top / ".devcontainer/devcontainer.json").unlink()
    (top.parent / "own.json").write_bytes(content)
    (top / ".devcontainer/devcontainer.json").symlink_to("../../own.json")
    status, said = run(daemon, top)
    assert status == 125 and "not followed" in said


def test_tools_are_installed_before_the_setup_commands(daemon: Environ, top: Path) -> None:
    """F4: a hostile pin is left out; a dry run says which tools; --no-bootstrap leaves them out."""
    repositories.write(top, ".tool-versions", b"nodejs 20.1.0\n$(id) 1\ngo 1;id\n")
    repositories.write(top, "banger.toml", b'setup.commands = ["make tools"]\n')
    assert banger(daemon, "trust", str(top)).returncode == 0
    planned = banger(daemon, "vm", "run", "--dry-run", str(top)).stderr.decode()
    assert "tools: node@20.1.0\nsetup: make tools\n" in planned
    planned = banger(daemon, "vm", "run", "--dry-run", "--no-bootstrap", str(top)).stderr.decode()
    assert "tools:" not in planned and "setup: make tools\n" in planned


def test_pins_outside_of_the_repository_are_not_read(daemon: Environ, top: Path) -> None:
    """F4: a link in the place of a file that pins is no such file."""
    (top.parent / "elsewhere").write_text("nodejs 20.1.0\n")
    (top / ".tool-versions").symlink_to("../elsewhere")
    planned = banger(daemon, "vm", "run", "--dry-run", "--no-project", str(top))
    assert planned.returncode == 0 and b"tools:" not in planned.stderr
