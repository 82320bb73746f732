"""F6 for recipes: every error is one sentence with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import RecipeInvalid
from banger.images.recipe import (
    Recipe,
    RecipeFile,
    Units,
    load_recipe,
    parse_recipe,
    require_recipe,
)

FULL = """
name = "small"
suite = "bookworm"
packages = ["make", "gcc=4:12.2.0-3"]
variant = "essential"
components = ["main", "contrib"]
init = "/sbin/init"
drop = ["/usr/share/doc/*"]
[env]
EDITOR = "vim"
[units]
mask = ["getty@.service"]
[[file]]
path = "/etc/example"
mode = 0o600
content = "text"
"""


def test_every_key_is_read() -> None:
    assert parse_recipe(FULL, where="r.toml") == Recipe(
        name="small",
        suite="bookworm",
        packages=("make", "gcc=4:12.2.0-3"),
        variant="essential",
        components=("main", "contrib"),
        init="/sbin/init",
        drop=("/usr/share/doc/*",),
        env={"EDITOR": "vim"},
        units=Units(mask=("getty@.service",)),
        files=(RecipeFile(path="/etc/example", mode=0o600, content="text"),),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ]", "r.toml, line 1: Invalid value"),
        ("name = 'x'", "missing required field `suite`"),
        ("name = 'x'\nsuite = 'b'\n\npackage = ['a']", "r.toml, line 4: the key 'package' is unk"),
        ("name = 'x'\nsuite = 'b'\npackages = 'a'", "r.toml, line 3: .*packages"),
        ("name = 'x'\nsuite = 'b'\n[units]\nmasks = []", "r.toml, line 4: the key 'masks'"),
        ("name = 'x'\nsuite = 'b'\npackages = ['a b']", "r.toml, line 3: packages holds 'a b'"),
        ("name = 'X'\nsuite = 'b'", "r.toml, line 1: name holds 'X'"),
        ("name = 'x'\nsuite = '-b'", "r.toml, line 2: suite holds '-b'"),
        ("name = 'x'\nsuite = 'b'\nvariant = 'standard'", "line 3: variant 'standard'"),
        ("name = 'x'\nsuite = 'b'\ninit = 'sbin/init'", "line 3: init holds"),
        ("name = 'x'\nsuite = 'b'\ncomponents = []", "line 3: components must"),
    ],
)
def test_errors_name_file_line_and_key(text: str, message: str) -> None:
    with pytest.raises(RecipeInvalid, match=message):
        parse_recipe(text, where="r.toml")


def test_an_unknown_key_has_a_near_match() -> None:
    with pytest.raises(RecipeInvalid) as caught:
        parse_recipe("name = 'x'\nsuite = 'b'\npackage = ['a']", where="r.toml")
    assert caught.value.hint == "did you mean packages?"


@pytest.mark.parametrize(
    "changes",
    [
        {"packages": ("make; rm -rf /",)},
        {"packages": ("--option",)},
        {"packages": ("a,b",)},
        {"suite": "$(id)"},
        {"components": ("main --x",)},
        {"remove": ("/etc/../../home",)},
        {"remove": ("/etc/$(id)",)},
        {"remove": ("etc",)},
        {"drop": ("/a b",)},
        {"init": "/bin/`id`"},
        {"units": Units(mask=("x.service'; id",))},
        {"units": Units(enable=("--now.service",))},
        {"files": (RecipeFile(path="/etc/../x", content=""),)},
        {"files": (RecipeFile(path="/x", content="", mode=0o10000),)},
        {"env": {"A=B": "c"}},
    ],
)
def test_no_value_is_more_than_its_shape(changes: dict[str, object]) -> None:
    """G2: values become arguments and parts of hooks, also those that no file was parsed for."""
    values: dict[str, object] = {"name": "x", "suite": "bookworm", **changes}
    with pytest.raises(RecipeInvalid):
        require_recipe(Recipe(**values))  # type: ignore[arg-type]


def test_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(RecipeInvalid, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeInvalid, match="cannot be read"):
        load_recipe(tmp_path / "bytes.toml")
    (tmp_path / "good.toml").write_text(FULL)
    assert load_recipe(tmp_path / "good.toml").name == "small"


@given(st.text(max_size=200))
def test_any_text_is_a_recipe_or_refused(untrusted_text: str) -> None:
    try:
        parse_recipe(untrusted_text, where="r.toml")
    except RecipeInvalid:
        return
    raise AssertionError("a recipe without name and suite")
