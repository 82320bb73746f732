"""The `banger.toml` that a repository begins with: each key, as a comment. Pure."""

from __future__ import annotations

from banger.project.file import KEYS

HEAD = """\
# banger.toml: the VM that `banger vm run` makes for this repository.
#
# An option of the command beats the environment, which beats this file, which beats the user's
# configuration. Users are asked once for each content whether they trust it.
"""


def render_start() -> str:
    """Return the text, which asks for nothing."""
    return HEAD + "".join(f"\n# {key.doc}\n# {key.name} = {key.example}\n" for key in KEYS)
