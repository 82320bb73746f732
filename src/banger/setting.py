"""One setting: its key, the parser of its values and its default. Pure.

Drivers and networks declare their settings with this module (in the `settings.py` of their
folders), and `banger.settings` reads those. So this module imports no code of a driver or network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from banger.model.filesync import FileSync
from banger.model.registries import Registries

Value = str | int | bool | Registries | FileSync


@dataclass(frozen=True)
class HostSize:
    """Size of the host, which defaults scale with."""

    cores: int
    memory_mib: int


@dataclass(frozen=True)
class Option:
    """One key, with its parser and its default."""

    key: str
    doc: str
    parse: Callable[[object], Value]
    """Returns the value, or raises ValueError whose text says what was expected."""
    default: Callable[[HostSize], tuple[Value, str]]
    """Returns the value and a text that explains it."""

    @property
    def variable(self) -> str:
        return "BANGER_" + self.key.upper().replace(".", "_")


@dataclass(frozen=True)
class Group:
    """The settings of one kind of driver or network."""

    name: str
    """Prefix of the keys."""
    fields: type
    """A frozen dataclass with a field for each setting; `Settings.of` returns an instance."""
    options: tuple[Option, ...]


def fixed(value: Value) -> Callable[[HostSize], tuple[Value, str]]:
    """Return a default that is the same on every host."""
    return lambda _: (value, "default")


def format_value(value: Value) -> str:
    """Format a value for people, as written in the configuration file."""
    return str(value).lower() if isinstance(value, bool) else str(value)
