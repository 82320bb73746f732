"""Recipes: what an image is built from, and the TOML that says so. Pure but for `load_recipe`.

A recipe holds only what gives the same image each time: packages, files with their
content, units to enable, disable or mask, paths to leave out. There are no free commands.

    name = "small"                  # the image's name
    suite = "bookworm"
    packages = ["make", "gcc"]
    variant = "minbase"             # of mmdebstrap: essential, apt, minbase
    components = ["main"]
    init = "/sbin/init"             # absent: the agent is the only init
    drop = ["/usr/share/doc/*"]     # dpkg path-exclude: never unpacked, also later
    keep = ["/usr/share/doc/*/copyright"]
    remove = ["/etc/motd"]          # removed after the packages were configured
    [env]
    EDITOR = "vim"
    [units]
    mask = ["getty.target"]
    [[file]]
    path = "/etc/example"
    mode = 0o644
    content = "text"
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct, field

from banger.errors import RecipeInvalid
from banger.nearnames import find_near

RECIPE_BYTES_MAX = 1024 * 1024

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SUITE = re.compile(r"[a-z][a-z0-9-]{0,40}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,100}(?:=[A-Za-z0-9.+:~-]{1,100})?")
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,200}\.[a-z]{2,12}")
_PATH = re.compile(r"(?:/[A-Za-z0-9@+_.-]+)+")
_GLOB = re.compile(r"(?:/[A-Za-z0-9@+_.*?-]+)+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIANTS = ("essential", "apt", "minbase")
_LINE_IN_MESSAGE = re.compile(r"\(at line (\d+), column \d+\)")
_FIELD_IN_MESSAGE = re.compile(r"unknown field `([^`]*)`|`\$\.([A-Za-z_]+)")


class Units(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What systemd does with units that packages bring."""

    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()


class RecipeFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file written after the packages, owned by root."""

    path: str
    content: str
    mode: int = 0o644


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that decides what an image is."""

    name: str
    suite: str
    packages: tuple[str, ...] = ()
    variant: str = "minbase"
    components: tuple[str, ...] = ("main",)
    init: str | None = None
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    units: Units = Units()
    files: tuple[RecipeFile, ...] = field(default=(), name="file")


def parse_recipe(untrusted_text: str, *, where: str) -> Recipe:
    """Return the recipe of a TOML text; `where` names it in errors.

    Raises:
        RecipeInvalid: the message names `where`, the line and the key.
    """
    try:
        untrusted_table = tomllib.loads(untrusted_text)
    except tomllib.TOMLDecodeError as error:
        line = _LINE_IN_MESSAGE.search(str(error))
        reason = _LINE_IN_MESSAGE.sub("", str(error)).strip()
        raise RecipeInvalid(f"{where}{_at(int(line[1]) if line else None)}: {reason}.") from error
    try:
        recipe = msgspec.convert(untrusted_table, Recipe)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), untrusted_text, where) from error
    try:
        require_recipe(recipe)
    except RecipeInvalid as error:
        key = error.message.split(" ", 1)[0]
        line_number = _find_line(key, untrusted_text)
        raise RecipeInvalid(f"{where}{_at(line_number)}: {error.message}") from error
    return recipe


def load_recipe(path: Path) -> Recipe:
    """Return the recipe of a file.

    Raises:
        RecipeInvalid: it cannot be read, or is not a recipe.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(RECIPE_BYTES_MAX + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeInvalid(f"{path} cannot be read: {error}.") from error
    if len(text) > RECIPE_BYTES_MAX:
        raise RecipeInvalid(f"{path} is larger than {RECIPE_BYTES_MAX} bytes.")
    return parse_recipe(text, where=str(path))


@functools.cache
def read_own_recipe(name: str) -> Recipe:
    """Return a recipe that comes with banger."""
    file = Path(__file__).with_name("recipes") / f"{name}.toml"
    return parse_recipe(file.read_text("utf-8"), where=f"the recipe {name}")


def require_recipe(recipe: Recipe) -> None:
    """Check every value of a recipe, however it was made: they become arguments and paths.

    Raises:
        RecipeInvalid: the message starts with the key.
    """
    _require("name", (recipe.name,), _NAME)
    _require("suite", (recipe.suite,), _SUITE)
    _require("packages", recipe.packages, _PACKAGE)
    _require("components", recipe.components, _SUITE)
    _require("init", (recipe.init,) if recipe.init is not None else (), _PATH)
    for key in ("drop", "keep", "remove"):
        _require(key, getattr(recipe, key), _GLOB)
    _require("env", recipe.env, _VARIABLE)
    for key in ("enable", "disable", "mask"):
        _require(key, getattr(recipe.units, key), _UNIT)
    _require("path", (file.path for file in recipe.files), _PATH)
    if recipe.variant not in _VARIANTS:
        raise RecipeInvalid(f"variant {recipe.variant!r} is not one of {', '.join(_VARIANTS)}.")
    if not recipe.components:
        raise RecipeInvalid("components must not be empty.")
    for file in recipe.files:
        if not 0 <= file.mode <= 0o7777:
            raise RecipeInvalid(f"mode of {file.path} is not a file mode.")


def _require(key: str, values: Iterable[str], shape: re.Pattern[str]) -> None:
    for value in values:
        if not shape.fullmatch(value) or ".." in value.split("/"):
            raise RecipeInvalid(f"{key} holds {value!r}, which is not valid.")


def _invalid(message: str, text: str, where: str) -> RecipeInvalid:
    """Turn msgspec's message into ours: with the line, and a near match for an unknown key."""
    found = _FIELD_IN_MESSAGE.search(message)
    key = (found[1] or found[2]) if found else None
    hint = None
    if found and found[1]:
        near = find_near(found[1], _keys())
        hint = f"did you mean {near}?" if near else None
        message = f"the key {found[1]!r} is unknown"
    line = _find_line(key, text) if key else None
    return RecipeInvalid(f"{where}{_at(line)}: {message}.", hint=hint)


def _keys() -> list[str]:
    return [
        name for struct in (Recipe, Units, RecipeFile) for name in struct.__struct_encode_fields__
    ]


def _find_line(key: str, text: str) -> int | None:
    """Return the line that sets `key`: `key = ...`, `[key]` or `[[key]]`."""
    shape = re.compile(rf"\s*(?:\[+\s*)?\"?{re.escape(key)}\"?\s*(?:=|\])")
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if shape.match(line)), None)


def _at(line: int | None) -> str:
    return "" if line is None else f", line {line}"
