"""Renders the modules of `sdk/sync` from those of `sdk/aio`, by replacing words: see `docs.py`.

What the two do in different ways (connections, streams, workers) is written by hand in both.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "src/banger/sdk/aio"
PLACE = "src/banger/sdk/sync/x.py"
FIXES = ("check", "--fix", "--unsafe-fixes", "--select", "I,F401,SIM117,UP028")
BY_HAND = {"__init__.py", "daemon.py", "stream.py", "workers.py"}

WORDS = {
    r"\basync (def|with|for)\b": r"\1",
    r"\bawait ": "",
    r"\bAwaitable\[(\w+)\]": r"\1",
    r"\b__a(enter|exit|iter)__\b": r"__\1__",
    r"\bAsyncGenerator\[(\w+), None\]": r"Generator[\1, None, None]",
    r"\bAsync([A-Z]\w+)": r"\1",
    r"\bAbstractAsync": "Abstract",
    r"\basynccontextmanager\b": "contextmanager",
    r"\baclosing\b": "closing",
    r"\bbanger\.sdk\.aio\b": "banger.sdk.sync",
    r"\basyncio\.sleep\b": "time.sleep",
    r"for programs with an asyncio loop": "for calls that wait",
}


def list_modules() -> list[str]:
    """Return the file names of the modules that are rendered."""
    return sorted({path.name for path in SOURCES.glob("*.py")} - BY_HAND)


def render_module(name: str) -> str:
    """Return a module of `sdk/sync`."""
    source = (SOURCES / name).read_text("utf-8")
    for pattern, replacement in WORDS.items():
        source = re.sub(pattern, replacement, source, flags=re.MULTILINE)
    doc, end, rest = source.partition('"""\n')
    note = f"\n\nMade by `make docs` from `sdk/aio/{name}`; do not edit.\n"
    return _run_ruff(_run_ruff(doc.rstrip() + note + end + rest, *FIXES), "format")


def _run_ruff(source: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words, "-q", "--stdin-filename", PLACE, "-"],
        input=source,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
