"""`config path` and `config edit`, through the real command line."""

from __future__ import annotations

from pathlib import Path

from tests.component.daemon.running import banger, layout_of

Environ = dict[str, str]


def with_editor(environ: Environ, directory: Path, line: str, *, status: int = 0) -> Environ:
    """Return the environment with an editor that writes one line."""
    editor = directory / "my editor"
    editor.write_text(f"#!/bin/sh\nprintf '%s\\n' '{line}' >\"$2\"\nexit {status}\n")
    editor.chmod(0o700)
    return environ | {"VISUAL": f"'{editor}' --wait", "EDITOR": "false"}


def test_the_path_is_printed_whether_there_is_a_file_or_not(private_environ: Environ) -> None:
    """B8."""
    done = banger(private_environ, "config", "path")
    assert done.stdout.decode() == f"{layout_of(private_environ).config_file}\n"
    assert not layout_of(private_environ).config.exists()


def test_an_edited_file_is_checked_and_kept(private_environ: Environ, tmp_path: Path) -> None:
    """F6: in a directory that was not there."""
    file = layout_of(private_environ).config_file
    good = with_editor(private_environ, tmp_path, "vm_defaults.vcpu = 3")
    assert banger(good, "config", "edit").returncode == 0
    assert file.read_text() == "vm_defaults.vcpu = 3\n"
    bad = with_editor(private_environ, tmp_path, "vm_defaults.vcpus = 3")
    done = banger(bad, "config", "edit")
    assert done.returncode == 2
    assert b"line 1: there is no setting vm_defaults.vcpus" in done.stderr
    assert file.read_text() == "vm_defaults.vcpus = 3\n"


def test_an_editor_that_fails_is_told(private_environ: Environ, tmp_path: Path) -> None:
    environ = with_editor(private_environ, tmp_path, "x = 1", status=3)
    done = banger(environ, "config", "edit")
    assert done.returncode == 1
    assert b"failed with status 3" in done.stderr
