"""One setting: its key, how a value of it is checked, what it is without being set. Pure.

Kinds of drivers and networks declare theirs with this (`settings.py` in their folders), and
`banger.settings` reads those: so this imports nothing that knows of a kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from banger.model.registries import Registries

Value = str | int | bool | Registries


@dataclass(frozen=True)
class HostSize:
    """What defaults scale with."""

    cores: int
    memory_mib: int


@dataclass(frozen=True)
class Option:
    """One key: how its value is checked, and what it is without being set."""

    key: str
    doc: str
    parse: Callable[[object], Value]
    """Returns the value or raises ValueError with what was expected."""
    default: Callable[[HostSize], tuple[Value, str]]
    """Returns the value and why."""

    @property
    def variable(self) -> str:
        return "BANGER_" + self.key.upper().replace(".", "_")


@dataclass(frozen=True)
class Group:
    """The settings of one kind of driver or network."""

    name: str
    """What their keys begin with."""
    fields: type
    """A frozen dataclass with a field for each; `Settings.of` returns one."""
    options: tuple[Option, ...]


def fixed(value: Value) -> Callable[[HostSize], tuple[Value, str]]:
    """Return the default that is the same on every host."""
    return lambda _: (value, "default")


def format_value(value: Value) -> str:
    """Return a value for a person, as the file has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
