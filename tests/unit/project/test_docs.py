"""The pages say what the code does (H10)."""

from __future__ import annotations

import re
import sys
from collections import Counter

from banger.errors import BangerError
from banger.host.programs import run_sync
from banger.settings import OPTIONS
from tests.unit.project.sources import CHECKOUT

DOCS = CHECKOUT / "docs"


def test_generated_pages_are_up_to_date() -> None:
    finished = run_sync(
        [sys.executable, str(CHECKOUT / "scripts/docs.py"), "--check"],
        deadline_s=60,
        env={"PYTHONPATH": str(CHECKOUT / "src")},
        ok=(0, 1),
    )
    assert finished.status == 0, finished.stderr.decode()


def test_every_error_has_a_code_of_its_own_and_says_when() -> None:
    kinds = list(_iterate_kinds(BangerError))
    codes = Counter(kind.code for kind in kinds)
    assert [code for code, count in codes.items() if count > 1] == []
    page = (DOCS / "errors.md").read_text("utf-8")
    for kind in kinds:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code), kind
        assert kind.__doc__, kind
        assert kind is BangerError or f"| `{kind.code}` |" in page, kind


def test_every_setting_has_a_line() -> None:
    page = (DOCS / "configuration.md").read_text("utf-8")
    for option in OPTIONS:
        assert f"| `{option.key}` | `{option.variable}` | {option.doc} |" in page, option.key


def _iterate_kinds(kind: type[BangerError]) -> list[type[BangerError]]:
    children = [c for c in kind.__subclasses__() if c.__module__ == "banger.errors"]
    return [kind, *(k for child in children for k in _iterate_kinds(child))]
