"""Starting is part of every command's time: what may not be imported on the way.

Architecture, section 3. Modules are listed by a fresh interpreter that runs the
command up to where it would talk to the daemon.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "argparse": False,
    "asyncio": True,
    "concurrent.futures": True,
    "ctypes": True,
    "dataclasses": True,
    "email": True,
    "http": True,
    "importlib.metadata": True,
    "inspect": True,
    "logging": True,
    "msgspec": True,
    "multiprocessing": True,
    "rich": True,
    "sqlite3": True,
    "ssl": True,
    "subprocess": True,
    "tempfile": True,
    "tomllib": True,
    "typing": True,
    "urllib3": True,
    "banger.config": True,
    "banger.daemon": True,
    "banger.engine": True,
    "banger.host": True,
    "banger.model": True,
    "banger.workspace": True,
}
PROGRAM = """
import sys
before = set(sys.modules)
from banger.cli.app import main
from banger.client import client, connect
from banger.errors import DaemonUnreachable
def refuse(layout, *, autostart):
    raise DaemonUnreachable("none")
client.connect = refuse
sys.argv = ["banger", *sys.argv[1:]]
main.main()
sys.stdout.flush()
print("MODULES", *sorted(set(sys.modules) - before))
"""
LEAST_FOR_CLIENT = {"banger.client.client"}


@pytest.mark.parametrize(
    ("words", "reaches_client"),
    [
        (["version"], False),
        (["--version"], False),
        (["vm", "show", "a"], True),
        (["vm", "stop", "a"], True),
        (["vm", "exec", "a", "--", "true"], True),
        (["vm", "run", "--rm", "--", "true"], True),
        (["vm", "run", "--fork", "2", "--", "true"], True),
        (["vm", "fork", "a"], True),
        (["vm", "snapshot", "list", "a"], True),
        (["image", "list"], True),
        ([], False),
        (["vm", "--help"], False),
    ],
)
def test_nothing_heavy_is_imported(words: list[str], reaches_client: bool) -> None:
    """Product contract, section 10: `banger version` within 4 times bare Python."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, timeout=60, check=True
    )
    [line] = [x for x in done.stdout.decode().splitlines() if x.startswith("MODULES")]
    imported = set(line.split()[1:])
    refused = {
        name
        for name in imported
        for heavy, is_refused in HEAVY.items()
        if is_refused and (name == heavy or name.startswith(f"{heavy}."))
    }
    assert refused == set()
    assert b"bug in banger" not in done.stderr
    if reaches_client:
        assert b"banger: none" in done.stderr


def test_the_list_imports_least(tmp_path: Path) -> None:
    """Product contract, section 10: `vm list` within 1.5 times `banger version`.

    `pathlib` alone is a tenth of the list, and neither its layout nor its client needs it.
    """
    (tmp_path / "banger").mkdir()
    (tmp_path / "banger/banger.db").touch()
    # Without `site`: what a distribution's hooks import there is not ours.
    program = f"import sys; sys.path[:] = {sys.path!r}\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, "vm", "list"],
        env={"XDG_STATE_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"banger: none" in done.stderr
    modules = set(done.stdout.decode().split())
    assert "banger.client.client" in modules
    unneeded = {"pathlib", "contextlib", "textwrap", "urllib.parse", "banger.client.stream"}
    assert not unneeded & modules


def test_a_command_does_not_load_another() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "version"], capture_output=True, timeout=60, check=True
    )
    modules = done.stdout.decode().split()
    assert "banger.cli.commands.version" in modules
    assert not {
        "banger.cli.commands.vm",
        "banger.cli.commands.run",
        "banger.cli.commands.daemon",
    } & set(modules)


def test_the_version_needs_no_client() -> None:
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; sys.argv = ['banger', 'version'];"
        "from banger.cli.app.main import main; main();"
        "print('MODULES', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, timeout=60, check=True
    )
    modules = set(done.stdout.decode().split())
    assert "banger.cli.commands.version" in modules
    assert not {"banger.client", "banger.layout", "json", "socket", "shutil"} & modules
