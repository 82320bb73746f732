"""The script that installs pinned tools in a guest, by a stand-in for mise and npm."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.model.setup import is_command
from banger.toolingplan.install import render_install
from banger.toolingplan.plan import FILES, plan_tooling

ROOT = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
MISE = """#!/bin/sh
# A stand-in: each version is a directory with one program that says which it is.
echo "mise $*" >>"$RECORD"
case $1 in
install) case $3 in *@99) exit 1 ;; esac
    mkdir -p "$TOOLS/$3/bin" "$TOOLS/$3/bin/directory"
    printf '#!/bin/sh\\necho %s\\n' "$3" >"$TOOLS/$3/bin/${3%@*}"
    chmod +x "$TOOLS/$3/bin/${3%@*}" ;;
bin-paths) echo "$TOOLS/$2/bin" ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory of programs, with mise in it."""
    if subprocess.run([*ROOT, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this host lets users make no such namespace")
    write_program(tmp_path / "programs/mise", MISE)
    return tmp_path / "programs"


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def install(programs: Path, *tools: str, then: str = "true") -> subprocess.CompletedProcess[str]:
    """Run the script as root of a namespace with a `/usr/local` of its own."""
    script = f"mount -t tmpfs none /usr/local && {{ {SHELL}; status=$?; {then}; exit $status; }}"
    environ = {
        "PATH": f"/usr/local/bin:{programs}:/usr/bin:/bin",
        "HOME": str(programs),
        "RECORD": str(programs / "record"),
        "TOOLS": str(programs / "tools"),
        "SCRIPT": render_install(tools),
    }
    return subprocess.run(
        [*ROOT, script], env=environ, capture_output=True, text=True, check=False, timeout=60
    )


SHELL = '/bin/sh -c "$SCRIPT"'


def test_programs_are_found_without_mise(programs: Path) -> None:
    done = install(programs, "go@1.22", "node@20", then="node; go; ls /usr/local/bin")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n")[1:] == ["node@20", "go@1.22", "go", "node", ""]


def test_what_is_installed_is_not_installed_again(programs: Path) -> None:
    done = install(programs, "node@20", then=f": >$RECORD; {SHELL}")
    assert done.stdout == "Installed: node@20\n" * 2
    assert (programs / "record").read_text() == ""


def test_one_that_cannot_be_installed_holds_up_no_other(programs: Path) -> None:
    """H6: the end of the log says which."""
    done = install(programs, "node@99", "go@1.22", then=f"go; {SHELL}")
    assert done.returncode == 1 and "go@1.22\n" in done.stdout
    assert done.stderr.endswith("Not installed: node@99\n")
    assert (programs / "record").read_text().count("mise install --yes node@99") == 2


def test_npm_brings_mise(programs: Path) -> None:
    (programs / "mise").rename(programs / "later")
    write_program(programs / "npm", f"#!/bin/sh\nmv {programs}/later {programs}/mise\n")
    assert install(programs, "node@20").returncode == 0


def test_an_image_with_neither_is_told_of(programs: Path) -> None:
    (programs / "mise").unlink()
    write_program(programs / "npm", "#!/bin/sh\nexit 1\n")
    done = install(programs, "node@20")
    assert done.returncode == 1 and "neither mise nor npm: node@20" in done.stderr


@given(st.dictionaries(st.sampled_from(list(FILES)), st.binary(max_size=200)))
def test_nothing_of_a_hostile_file_is_run(files: dict[str, bytes]) -> None:
    """F4: whatever files say, the script is the same but for words of a strict grammar."""
    require_words(plan_tooling(files).tools)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5))
def test_nothing_of_a_hostile_pin_is_run(pins: dict[str, str]) -> None:
    """F4: in each file that names tools, or versions of one."""
    lines = "\n".join(f"{tool} {version}" for tool, version in pins.items())
    require_words(plan_tooling({".tool-versions": lines.encode("utf-8", "replace")}).tools)
    document = f"[tools]\n{json.dumps(next(iter(pins), ''))} = {json.dumps(lines)}\n"
    require_words(plan_tooling({"mise.toml": document.encode("utf-8", "replace")}).tools)
    for version in pins.values():
        require_words(plan_tooling({".nvmrc": version.encode("utf-8", "replace")}).tools)


def test_however_many_tools_are_one_setup_command() -> None:
    """C7: a file with too many pins fails no run."""
    lines = "".join(f"tool{n:059} {'1' * 64}\n" for n in range(1000))
    tools = plan_tooling({".tool-versions": lines.encode()}).tools
    assert len(tools) == 100 and max(map(len, tools)) == 128
    assert is_command(render_install(tools))


ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@._+-")


def require_words(tools: tuple[str, ...]) -> None:
    plain = render_install(["node@20", "node@20"]).splitlines()[1:]
    assert all(ALLOWED.issuperset(tool) and not tool.startswith("-") for tool in tools)
    assert render_install(tools).splitlines()[1:] == plain
