"""The stand-in as a program of its own, to be started where Firecracker is."""

from __future__ import annotations

import functools
import marshal
import sys
from pathlib import Path

from tests.support.artifacts import CHECKOUT
from tests.support.firecracker.document import load_document

NAME = "firecracker"
"""Of the file, and so of the process."""
INSTEAD = "instead"
"""Of a file beside it, with what it answers instead."""


def write_program(directory: Path, *, agent: Path, version: str) -> Path:
    """Write a program that is this version of Firecracker with this agent as its guest."""
    path, description = directory / NAME, directory / "description"
    own = ["--says", version, "--agent", str(agent), "--instead", str(directory / INSTEAD)]
    own += ["--description", str(description)]
    lines = [
        f"#!{sys.executable}",
        "import sys",
        f"sys.path[:0] = [{str(CHECKOUT)!r}, {str(CHECKOUT / 'src')!r}]",
        "from tests.support.firecracker.__main__ import run, take_name",
        "take_name(sys.argv)",
        f"run([*sys.argv[1:], *{own!r}])",
    ]
    description.write_bytes(_marshal_description())
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


@functools.cache
def _marshal_description() -> bytes:
    """Return the description in a form that is loaded in no time; YAML takes 20 ms."""
    return marshal.dumps(load_document())
