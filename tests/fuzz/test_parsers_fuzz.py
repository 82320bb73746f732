"""The parsers in C under libFuzzer with AddressSanitizer: some of them, for a few seconds each.

Needs clang with its runtime (Debian: clang, libclang-rt-14-dev). BANGER_TEST_FUZZ_SECONDS=60 fuzzes
all of them for so long; `make -C native/agent fuzz FUZZ_SECONDS=600` goes deeper, and so does
`make -C native/egress-filter fuzz`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.artifacts import CHECKOUT
from tests.support.fresh_process import APART
from tests.support.native import build_shared
from tests.support.sampling import FUZZ_SECONDS, choose_parsers

SECONDS = FUZZ_SECONDS or 2
PROGRAMS = ("agent", "egress-filter")
TARGETS = [
    (program, path.stem)
    for program in PROGRAMS
    for path in sorted((CHECKOUT / "native" / program / "fuzz").glob("fuzz_*.c"))
]
HAS_CLANG = shutil.which("clang") is not None


def test_each_parser_has_a_target() -> None:
    assert TARGETS == [
        ("agent", "fuzz_fields"),
        ("agent", "fuzz_frame"),
        ("agent", "fuzz_ring"),
        ("agent", "fuzz_sftp"),
        ("agent", "fuzz_tar"),
        ("egress-filter", "fuzz_filter"),
        ("egress-filter", "fuzz_policy"),
        ("egress-filter", "fuzz_tap"),
    ]


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.skipif(not HAS_CLANG, reason="clang is not installed")
@pytest.mark.parametrize(("program", "target"), choose_parsers(TARGETS, 3))
def test_parser_survives_the_fuzzer(program: str, target: str, tmp_path: Path) -> None:
    """E2, E4, F1: no overrun, no undefined behaviour, no lost HELLO, no frame that may not pass."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    fuzz = [
        *APART,
        str(build_shared(program, target)),
        f"-max_total_time={SECONDS}",
        "-max_len=66000",
        "-timeout=10",
        f"-artifact_prefix={tmp_path}/",
        str(corpus),
    ]
    done = subprocess.run(fuzz, capture_output=True, text=True, timeout=SECONDS + 100, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert list(corpus.iterdir()), "the fuzzer found nothing to try"
