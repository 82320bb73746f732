"""The `banger.toml` that `banger init` writes: each key, as a comment. Pure.

Setup commands are those that fit what is in the repository, if it is known.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from banger.project.file import KEYS, Key

HEAD = """\
# banger.toml: the VM that `banger vm run` makes for this repository.
#
# An option of the command beats the environment, which beats this file, which beats the user's
# configuration. Users are asked once for each content whether they trust it.
"""


SETUPS = (
    ("package-lock.json", "npm ci", ("package.json", "package-lock.json")),
    ("yarn.lock", "yarn install --frozen-lockfile", ("package.json", "yarn.lock")),
    ("pnpm-lock.yaml", "pnpm install --frozen-lockfile", ("package.json", "pnpm-lock.yaml")),
    (
        "uv.lock",
        "uv sync --frozen --no-install-project",
        ("pyproject.toml", "uv.lock"),
    ),
    (
        "requirements.txt",
        "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        ("requirements.txt",),
    ),
    ("go.sum", "go mod download", ("go.mod", "go.sum")),
    ("Gemfile.lock", "bundle install", ("Gemfile", "Gemfile.lock")),
)
"""For a file: the command that installs what it locks, and the files that the command reads."""


def render_start(files: Collection[str] = ()) -> str:
    """Return the text for a repository with these files at its top; it asks for nothing."""
    return HEAD + "".join(f"\n# {key.doc}\n# {key.name} = {_example(key, files)}\n" for key in KEYS)


def _example(key: Key, files: Collection[str]) -> str:
    found = [(command, inputs) for name, command, inputs in SETUPS if name in files]
    if not found or key.field not in ("setup_commands", "setup_inputs"):
        return key.example
    if key.field == "setup_commands":
        return json.dumps([command for command, _ in found])
    paths = dict.fromkeys(path for _, inputs in found for path in inputs if path in files)
    return json.dumps(list(paths))
