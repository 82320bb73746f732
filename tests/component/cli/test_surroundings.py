"""Each place that banger uses of a user's, broken in each way: a sentence, never a crash report.

The table is places by faults; each cell runs the commands that look at most of them, with a real
daemon where one can start. A run tries a seventh of the cells, with each place and each fault.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.component.daemon.running import with_sources
from tests.support.namespaces import (
    filesystem_without_inodes,
    full_filesystem,
    read_only_filesystem,
)
from tests.support.sampling import choose

COMMANDS = (
    ("version",),
    ("config", "show"),
    ("image", "list"),
    ("vm", "list"),
    ("vm", "run", "--dry-run"),
    ("daemon", "status"),
    ("doctor",),
)
PLACES = (
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "TMPDIR",
    "PWD",
)
Made = tuple[str, list[str]]
"""A path, and the prefix of the commands for which it is broken."""


def _missing(_: Path) -> Made:
    return "/nowhere/at/all", []


def _unwritable(place: Path) -> Made:
    place.mkdir(mode=0o500)
    return str(place), []


def _closed(place: Path) -> Made:
    place.mkdir(mode=0o000)
    return str(place), []


def _file(place: Path) -> Made:
    place.touch()
    return str(place), []


def _dangling(place: Path) -> Made:
    place.symlink_to("/nowhere/at/all")
    return str(place), []


def _proc(_: Path) -> Made:
    return "/proc", []


def _full(place: Path) -> Made:
    place.mkdir()
    return str(place), full_filesystem(place)


def _without_inodes(place: Path) -> Made:
    place.mkdir()
    return str(place), filesystem_without_inodes(place)


def _read_only(place: Path) -> Made:
    place.mkdir()
    return str(place), read_only_filesystem(place)


def _not_utf8(place: Path) -> Made:
    named = os.fsdecode(os.fsencode(place) + b"-caf\xe9")
    os.mkdir(named, 0o700)
    return named, []


def _long(place: Path) -> Made:
    return f"{place}{('/' + 'x' * 200) * 20}", []


FAULTS: tuple[Callable[[Path], Made], ...] = (
    _missing,
    _unwritable,
    _closed,
    _file,
    _dangling,
    _proc,
    _full,
    _without_inodes,
    _read_only,
    _not_utf8,
    _long,
)


CELLS = [(place, fault) for place in PLACES for fault in FAULTS]
SAMPLE = -(-len(CELLS) // 7)


@pytest.mark.parametrize("number", range(7))
def test_each_sample_has_each_place_and_each_fault(number: int) -> None:
    places, faults = zip(*choose(CELLS, SAMPLE, number), strict=True)
    assert (set(places), set(faults)) == (set(PLACES), set(FAULTS))


@pytest.mark.parametrize(
    ("place", "fault"),
    choose(CELLS, SAMPLE),
    ids=lambda word: getattr(word, "__name__", word).strip("_"),
)
def test_a_broken_place_is_told(
    private_environ: dict[str, str], short_dir: Path, place: str, fault: Callable[[Path], Made]
) -> None:
    """H6, B8: the path and a remedy, the status of a host that is not ready, no report."""
    path, prefix = fault(short_dir / "place")
    environ = _make_environ(private_environ, place, path)
    cwd = path if place == "PWD" and os.path.isdir(path) and fault is not _closed else short_dir
    errands = ["\n".join(words) for words in COMMANDS]
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "tests.support.errands", *errands],
        env=with_sources(environ),
        cwd=cwd,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    results = json.loads(done.stdout)
    for result in results:
        _check(result, path)
    assert not [*short_dir.rglob("reports/*")]


def _make_environ(private: dict[str, str], place: str, path: str) -> dict[str, str]:
    environ = {**private, "BANGER_QEMU_BINARY": "no-qemu-is-asked-for"}
    if place == "HOME":
        for name in [name for name in environ if name.startswith("XDG_")]:
            if name != "XDG_RUNTIME_DIR":
                del environ[name]
    return {**environ, place: path}


def _check(result: dict[str, object], path: str) -> None:
    said = str(result["out"]) + str(result["err"])
    assert "bug in banger" not in said and "Traceback" not in said, result
    words = result["words"]
    if words == ["version"]:
        assert result["status"] == 0, result
    elif words in (["daemon", "status"], ["daemon", "stop"]):
        assert result["status"] in (0, 6, 7), result
    elif words == ["vm", "run", "--dry-run"]:
        assert result["status"] in (0, 125), result
    elif "config.toml cannot be read" in said:
        assert result["status"] in (2, 6), result
    else:
        assert result["status"] in (0, 6), result
    if result["status"] and words != ["doctor"]:
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        is_of_place = words[0] != "daemon" and "no-qemu-is-asked-for" not in said
        assert shown[:60] in said or not is_of_place, result
        assert "hint: " in said, result
