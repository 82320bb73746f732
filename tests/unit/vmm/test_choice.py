"""Which driver `auto` is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from banger.config import load_settings
from banger.vmm.acceleration import choose_driver


def choose(
    environ: dict[str, str],
    word: str = "auto",
    *,
    usable: set[str],
    fitting: set[str] | None = None,
) -> tuple[str, list[str]]:
    """Return the driver that a word means, and which drivers were proven."""
    proven: list[str] = []

    async def is_usable(driver: str) -> bool:
        proven.append(driver)
        return driver in usable

    settings = load_settings(Path("/nonexistent"), environ)
    chosen = choose_driver(
        word,
        settings,
        fits=lambda driver: fitting is None or driver in fitting,
        is_usable=is_usable,
    )
    return asyncio.run(chosen), proven


@pytest.fixture
def environ() -> dict[str, str]:
    """Both are installed: a program that every host has stands for each."""
    return {"BANGER_FIRECRACKER_BINARY": "sh", "BANGER_QEMU_BINARY": "sh"}


BOTH = {"firecracker", "qemu"}


def test_the_small_one_comes_first(environ: dict[str, str]) -> None:
    assert choose(environ, usable=BOTH) == ("firecracker", ["firecracker"])


def test_one_that_is_not_usable_is_passed_over(environ: dict[str, str]) -> None:
    assert choose(environ, usable={"qemu"}) == ("qemu", ["firecracker", "qemu"])
    assert choose(environ, usable=set())[0] == "qemu", "which emulates"


def test_one_that_is_not_installed_is_not_tried(environ: dict[str, str]) -> None:
    environ["BANGER_FIRECRACKER_BINARY"] = "/nonexistent/firecracker"
    assert choose(environ, usable=BOTH) == ("qemu", ["qemu"])
    environ["BANGER_QEMU_BINARY"] = "/nonexistent/qemu"
    assert choose(environ, usable=BOTH) == ("qemu", []), "and what it lacks is named later"


def test_one_that_does_not_run_such_a_vm_is_passed_over(environ: dict[str, str]) -> None:
    assert choose(environ, usable=BOTH, fitting={"qemu"}) == ("qemu", ["qemu"])


@pytest.mark.parametrize("word", sorted(BOTH))
def test_a_name_is_itself(environ: dict[str, str], word: str) -> None:
    assert choose(environ, word, usable=set()) == (word, [])
