"""The parsers in Python of what registries and repositories say, under atheris.

Some of them are tried, for a few seconds.

BANGER_TEST_FUZZ_SECONDS=60 fuzzes all of them for so long;
`python -m tests.fuzz.guided TARGET -max_total_time=600 CORPUS` goes deeper.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.artifacts import CHECKOUT
from tests.support.fresh_process import APART
from tests.support.sampling import FUZZ_SECONDS, choose_parsers

SECONDS = FUZZ_SECONDS or 4
TARGETS = ("manifest", "config", "signatures", "tar", "words", "project", "tooling")
HAS_ATHERIS = importlib.util.find_spec("atheris") is not None


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.skipif(not HAS_ATHERIS, reason="atheris is not installed")
@pytest.mark.parametrize("target", choose_parsers(TARGETS, 2))
def test_parser_survives_the_guided_fuzzer(target: str, tmp_path: Path) -> None:
    """F1, F4, F5: a value that is as it should be, or a typed error, in bounded time."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    options = [f"-max_total_time={SECONDS}", "-max_len=20000", "-timeout=10"]
    options.append(f"-artifact_prefix={tmp_path}/")
    done = subprocess.run(
        [*APART, sys.executable, "-m", "tests.fuzz.guided", target, *options, str(corpus)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=SECONDS + 200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert len(list(corpus.iterdir())) > 5, "the fuzzer found nothing to try"
