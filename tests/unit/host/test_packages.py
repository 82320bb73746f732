"""The table of packages, and the one command that is made from it (H8)."""

from __future__ import annotations

import ast
import os
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.errors import HostNotReady, ToolFailed
from banger.host import packages, setup, subids
from banger.host.packages import BUILD, RUNTIME, TESTS
from banger.host.tools import PackageManager, Tool
from tests.support.artifacts import CHECKOUT


def _only(*present: str) -> object:
    return lambda name: f"/bin/{name}" if name in present else None


@pytest.mark.parametrize("manager", list(PackageManager))
def test_every_required_tool_has_a_package_or_is_known_to_have_none(
    manager: PackageManager,
) -> None:
    packaged = [tool for tool in RUNTIME if not tool.source]
    nameless = {tool.program for tool in packaged if tool.package(manager) is None}
    if manager is PackageManager.APT:
        assert nameless == set()
    else:
        assert nameless <= {"mmdebstrap", "Debian's archive keys"}


def test_missing_tools_are_found_all_at_once() -> None:
    missing = packages.find_missing(RUNTIME, _only("git", "mke2fs"))  # type: ignore[arg-type]
    names = {tool.program for tool in missing}
    assert {"slirp4netns", "sqfstar", "bwrap", "ssh"} <= names
    assert not names & {"git", "mke2fs"}


def test_the_first_known_package_manager_is_taken() -> None:
    assert packages.find_package_manager(_only("dnf", "apk")) is PackageManager.DNF  # type: ignore[arg-type]
    assert packages.find_package_manager(_only("emerge")) is None  # type: ignore[arg-type]


def _tools(*names: str) -> list[Tool]:
    return [tool for tool in BUILD + RUNTIME + TESTS if tool.program in names]


@pytest.mark.parametrize(
    ("manager", "as_root", "line"),
    [
        (
            PackageManager.APT,
            False,
            "sudo apt-get update && "
            "sudo apt-get install -y --no-install-recommends git squashfs-tools uidmap",
        ),
        (PackageManager.DNF, True, "dnf install -y git shadow-utils squashfs-tools"),
        (
            PackageManager.PACMAN,
            False,
            "sudo pacman -S --needed --noconfirm git shadow squashfs-tools",
        ),
        (PackageManager.ZYPPER, True, "zypper --non-interactive install git shadow squashfs"),
        (PackageManager.APK, True, "apk add git shadow-uidmap squashfs-tools"),
    ],
)
def test_one_line_installs_everything(manager: PackageManager, as_root: bool, line: str) -> None:
    tools = _tools("git", "newuidmap", "sqfstar")
    commands = packages.plan_install(manager, tools, as_root=as_root)
    assert packages.format_install(commands) == line


def test_nothing_missing_or_nothing_known_means_no_command() -> None:
    assert packages.plan_install(PackageManager.APT, [], as_root=True) == ()
    assert packages.plan_install(PackageManager.APK, _tools("mmdebstrap"), as_root=True) == ()


def _nameless(program: str) -> Tool:
    return Tool(program, "is needed by this test", (None,) * 5)


def test_all_that_is_missing_is_named_in_one_error() -> None:
    """H8, H6."""
    with pytest.raises(HostNotReady) as caught:
        setup.run_setup(lambda _: None, tools=[_nameless("no-such-a"), _nameless("no-such-b")])
    assert caught.value.exit_code == 6
    assert "no-such-a, no-such-b" in caught.value.message


def test_what_is_there_is_not_installed_again() -> None:
    said: list[str] = []
    setup.run_setup(said.append, tools=_tools("git", "make"))
    assert said == []


def test_a_granted_range_overlaps_nobodys(tmp_path: Path) -> None:
    files = (tmp_path / "subuid", tmp_path / "subgid")
    files[0].write_text("a:100000:65536\nb:300000:65536\n")
    files[1].write_text("a:100000:165536\n")
    ((*argv, user),) = subids.plan_grant("me", as_root=False, files=files)
    ids = "365536-431071"
    assert argv == ["sudo", "usermod", "--add-subuids", ids, "--add-subgids", ids]
    assert user == "me"


def test_a_failing_package_manager_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mirrors and locks fail for moments; the third failure is the answer."""
    calls = tmp_path / "calls"
    for name in ("sudo", "apt-get"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>{calls}\nexit 100\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(setup, "PAUSE_BEFORE_RETRY_S", 0.0)
    tool = Tool("no-such-program", "is needed by this test", ("no-such-package",) * 5)
    with pytest.raises(ToolFailed, match="status 100"):
        setup.run_setup(lambda _: None, tools=[tool])
    expected = "sudo env DEBIAN_FRONTEND=noninteractive apt-get update"
    assert calls.read_text().splitlines() == [expected] * setup.TRIES


STARTERS = ("require_programs", "run", "run_sync", "piped", "spawn_identified")


def _named_programs() -> set[str]:
    """Return the programs that our sources ask for, or start on the host, by name."""
    names: set[str] = set()
    for file in (CHECKOUT / "src/banger").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names.update(_programs_of(node))
    return names - {"sh", "rm"}  # the guest's


def _programs_of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Name(id="require_programs"), args=arguments):
            yield from (each.value for each in arguments if isinstance(each, ast.Constant))
        case ast.Call(
            func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.List() as argv, *_]
        ) if name in STARTERS:
            yield from _first_word(argv)
        case ast.Assign(targets=[ast.Name(id="argv" | "programs")], value=ast.List() as argv):
            yield from _first_word(argv)
        case ast.FunctionDef(name=name) if name.startswith("plan_"):
            for each in ast.walk(node):
                if isinstance(each, ast.Return) and isinstance(each.value, ast.List):
                    yield from _first_word(each.value)


def _first_word(argv: ast.List) -> Iterator[str]:
    match argv.elts:
        case [ast.Constant(value=str(word)), *_]:
            yield word


def test_each_program_that_is_asked_for_is_in_the_table_of_packages() -> None:
    """H8: what a check misses is what its hint installs."""
    named = _named_programs()
    assert {"ssh-keygen", "mke2fs", "sqfstar", "unsquashfs", "newgidmap"} <= named
    assert [name for name in sorted(named) if not packages.find_providers([name])] == []


def test_each_target_installs_what_it_needs_and_a_demo_nothing_of_the_tests() -> None:
    needs = runpy.run_path(str(CHECKOUT / "scripts/install_host.py"))["NEEDS"]
    makefile = (CHECKOUT / "Makefile").read_text()
    targets = re.findall(r"scripts/(?:enter|in-place) ([a-z-]+)", makefile)
    assert set(targets) | {"trixie"} == set(needs)
    assert set(needs["demo"]).isdisjoint(TESTS)
    assert set(RUNTIME) < set(needs["demo"]) < set(needs["test"])


def test_the_bootstrap_needs_nothing_but_the_standard_library(run_dir: Path) -> None:
    """It runs with the system's Python before any package is installed."""
    from banger.host.programs import run_sync

    source = str(Path(setup.__file__).resolve().parents[2])
    script = f"import sys; sys.path.insert(0, {source!r}); import banger.host.setup"
    run_sync([sys.executable, "-I", "-S", "-c", script], deadline_s=60, cwd=run_dir)
