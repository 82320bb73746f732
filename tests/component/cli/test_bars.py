"""The live display in a real terminal program: narrow, and narrowed while it is drawn (H9)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.component.daemon.running import CHECKOUT

PROGRAM = """
import sys
from banger.cli.terminal.bars import Bars
print("a line before", file=sys.stderr)
bars = Bars()
parts = [("sha256:0123456789ab", 1_500_000, 48_000_000)]
parts.append(("sha256:abcdef012345", 48_000_000, 48_000_000))
for line in iter(sys.stdin.readline, "over\\n"):
    bars.show("pulling layers of an image", 49_500_000, 96_000_000, parts)
bars.stop()
print("a line after", file=sys.stderr)
sys.stdin.readline()
"""
NUMBERS = ("50 MB / 96 MB", "1.5 MB / 48 MB", "48 MB / 48 MB")


class Window:
    """A window of tmux in which the program draws when a line is sent to it."""

    def __init__(self, place: Path, *, columns: int) -> None:
        program = place / "program.py"
        program.write_text(PROGRAM)
        self._tmux = ["tmux", "-f", "/dev/null", "-S", str(place / "tmux")]
        python = f"PYTHONPATH={CHECKOUT / 'src'} {sys.executable} {program}"
        self.run("new-session", "-d", "-x", str(columns), "-y", "20", f"stty -echo; {python}")
        self.wait(lambda lines: "a line before" in lines)

    def run(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], capture_output=True, timeout=30, check=True)
        return done.stdout.decode()

    def draw(self, word: str = "draw") -> None:
        self.run("send-keys", word, "Enter")

    def wait(self, is_so: Callable[[list[str]], bool]) -> list[str]:
        """Return the lines in the window as soon as they are as wanted."""
        end = time.monotonic() + 30
        while True:
            lines = [line.strip() for line in self.run("capture-pane", "-p").splitlines()]
            lines = [line for line in lines if line]
            if is_so(lines):
                return lines
            assert time.monotonic() < end, lines
            time.sleep(0.1)

    def close(self) -> None:
        self.run("kill-server")


@pytest.fixture
def window(request: pytest.FixtureRequest, short_dir: Path) -> Iterator[Window]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    opened = Window(short_dir, columns=request.param)
    yield opened
    opened.close()


def _is_whole(lines: list[str]) -> bool:
    """Tell whether there is one picture, with all its numbers and times, and nothing torn."""
    rows = [line for line in lines if line != "a line before"]
    return len(rows) == len(NUMBERS) and all(
        number in row and re.search(r" 0:00:\d\d$", row) is not None
        for number, row in zip(NUMBERS, rows, strict=True)
    )


@pytest.mark.parametrize("window", [80, 60, 40], indirect=True)
def test_numbers_and_times_are_kept_at_every_width(window: Window) -> None:
    window.draw()
    rows = window.wait(_is_whole)[1:]
    assert ("━" in rows[0]) == (len(rows[0]) > 50)


@pytest.mark.parametrize("window", [100], indirect=True)
def test_a_narrowed_window_shows_one_picture(window: Window) -> None:
    """Lines that the terminal has broken anew are erased.

    tmux scrolls the lines before off when it makes room for broken ones.
    """

    def is_drawn_anew(lines: list[str]) -> bool:
        window.draw()
        return _is_whole(lines)

    window.wait(is_drawn_anew)
    for columns in (60, 40, 80):
        window.run("resize-window", "-x", str(columns))
        window.wait(is_drawn_anew)
    window.draw("over")
    lines = window.wait(lambda lines: "a line after" in lines)
    assert [line for line in lines if line != "a line before"] == ["a line after"]
