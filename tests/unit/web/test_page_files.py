"""The files of the page: those of others are what their packages hold; ours run no text as code."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.unit.project.sources import CHECKOUT

PAGE = CHECKOUT / "src/banger/web/page"
OURS = sorted(path for path in PAGE.rglob("*.*") if "vendor" not in path.parts)
IMPORT = re.compile(r"""\bfrom ["']([^"']+)["']|\bimport ["']([^"']+)["']""")
UNSAFE = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|dangerously|\beval\(|new Function|https?://"
)


@pytest.mark.parametrize("folder", ["src/banger/web/page/vendor", "tests/support/axe"])
def test_files_of_others_are_unchanged(folder: str) -> None:
    """`scripts/vendor.py` fetched them: a change by hand would be lost with the next version."""
    lines = (CHECKOUT / folder / "MANIFEST").read_text().splitlines()
    listed = {name: sha256 for sha256, name, _, _ in map(str.split, lines)}
    files = {path.name: path for path in (CHECKOUT / folder).iterdir()}
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    del found["MANIFEST"]
    assert found == listed


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_files_take_no_text_for_code(path: Path) -> None:
    """Everything of a guest is text; nothing is loaded from another host."""
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert UNSAFE.findall(text) == []


def test_modules_import_files_of_the_page() -> None:
    modules = sorted(PAGE.rglob("*.js"))
    for module in modules:
        for name in filter(None, sum(IMPORT.findall(module.read_text()), ())):
            assert name.startswith(("./", "../")), (module.name, name)
            assert (module.parent / name).is_file(), (module.name, name)
