"""A kind of driver or network is named in its folder and in the tables, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from banger import words
from banger.network.table import find_network
from tests.unit.project.sources import PACKAGE

TABLES = {"words.py", "vmm/table.py", "network/table.py"}
PLAIN_ENGLISH = {"user", "ip", "nft"}
"""Words that mean something else as well; ip and nft are also in guests."""
OTHER_BRIDGES = ("banger/ssh/", "banger/kernels/configs/")
"""Between a channel of ssh and a stream, and those that a guest makes for containers."""
OTHERS = {"bubblewrap"}
"""Names that no table says: what a package is called."""
JAIL = {
    "banger/host/bubblewrap.py",
    "banger/vmm/jail.py",
    "banger/vmm/probe.py",
    "banger/vmm/process.py",
}
"""What is around VMMs of every kind."""
JAILER = {"bubblewrap", "bwrap"}
SOURCES = {".py", ".config", ".toml", ".c", ".h"}


def find_names(text: str) -> set[str]:
    """Return the names of kinds, and of the programs that only they start, in a text."""
    return {name for name in _names() if re.search(name, text, re.IGNORECASE)}


def _names() -> set[str]:
    modules = [import_module(f"{package}.tools") for package in words.kind_packages()]
    programs = {tool.program for module in modules for tool in module.TOOLS}
    kinds = {*words.DRIVERS, *words.NETWORKS}
    return {*kinds, *programs, *OTHERS} - PLAIN_ENGLISH


def _allowed(path: str) -> set[str]:
    if path in JAIL:
        return JAILER
    return {"bridge"} if path.startswith(OTHER_BRIDGES) else set()


def _sources() -> Iterator[tuple[str, str]]:
    """Yield what is of no kind: the path below the package, the text."""
    homes = [Path(package.replace(".", "/")) for package in words.kind_packages()]
    for path in sorted(PACKAGE.rglob("*")):
        below = path.relative_to(PACKAGE.parent)
        is_kinds = any(below.is_relative_to(home) for home in homes)
        if path.suffix in SOURCES and not is_kinds and str(path.relative_to(PACKAGE)) not in TABLES:
            yield str(below), path.read_text("utf-8")


def test_nothing_names_a_kind_but_its_folder_and_the_tables() -> None:
    found = {path: find_names(text) - _allowed(path) for path, text in _sources()}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_networks_with_a_service_are_those_that_set_up_names() -> None:
    networks = {word: find_network(word) for word in words.NETWORKS}
    served = {word for word, network in networks.items() if network and network.service}
    assert served == set(words.SERVED_NETWORKS)


@pytest.mark.parametrize("line", ["settings.qemu.binary", "# as QEMU does", '["passt", "-f"]'])
def test_a_name_is_found(line: str) -> None:
    assert find_names(line)
