"""The rooms import each other as docs/architecture.md says."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from tests.unit.project.sources import CHECKOUT


def test_layers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = _lint(CHECKOUT, monkeypatch)
    assert not broken, broken


def _lint(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what import-linter has to say against the contracts, empty if nothing."""
    monkeypatch.chdir(checkout)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = lint_imports(config_filename=str(checkout / "pyproject.toml"), no_cache=True)
    return "" if status == 0 else said.getvalue()
