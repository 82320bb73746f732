"""The parsers in C under libFuzzer with AddressSanitizer, for a few seconds each.

Needs clang with its runtime (Debian: clang, libclang-rt-14-dev); `make -C agent fuzz
FUZZ_SECONDS=600` goes deeper, and so does `make -C guard fuzz`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.artifacts import CHECKOUT

SECONDS = 4
PROGRAMS = ("agent", "guard")
TARGETS = [
    (program, path.stem)
    for program in PROGRAMS
    for path in sorted((CHECKOUT / program / "fuzz").glob("fuzz_*.c"))
]
HAS_CLANG = shutil.which("clang") is not None


def test_each_parser_has_a_target() -> None:
    assert TARGETS == [
        ("agent", "fuzz_fields"),
        ("agent", "fuzz_frame"),
        ("agent", "fuzz_tar"),
        ("guard", "fuzz_filter"),
    ]


@pytest.mark.skipif(not HAS_CLANG, reason="clang is not installed")
@pytest.mark.parametrize(("program", "target"), TARGETS)
def test_parser_survives_the_fuzzer(program: str, target: str, tmp_path: Path) -> None:
    """E2, E4, F1: no overrun, no undefined behaviour, no lost HELLO, no frame that may not pass."""
    make = ["make", "-s", "-C", str(CHECKOUT / program), f"OUT={tmp_path}", str(tmp_path / target)]
    subprocess.run(make, check=True, timeout=100)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    fuzz = [
        str(tmp_path / target),
        f"-max_total_time={SECONDS}",
        "-max_len=66000",
        "-timeout=10",
        f"-artifact_prefix={tmp_path}/",
        str(corpus),
    ]
    done = subprocess.run(fuzz, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert list(corpus.iterdir()), "the fuzzer found nothing to try"
