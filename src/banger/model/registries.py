"""What the configuration says of registries: mirrors, and which speak plain HTTP. Pure.

[registries."docker.io"]
mirrors = ["mirror.example:5000/hub"]   # tried first, in this order
[registries."mirror.example:5000"]
insecure = true                         # plain HTTP; false: TLS, also on loopback
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
REGISTRY_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::[0-9]{{1,5}})?")
_MIRROR_PATH = re.compile(r"(?:/[a-z0-9._-]+)*")
_EXPECTED = "a table with mirrors = [HOST ...] and insecure = true or false for each registry"


@dataclass(frozen=True)
class RegistrySettings:
    """One registry."""

    mirrors: tuple[str, ...] = ()
    """`HOST[:PORT][/PATH]`."""
    insecure: bool | None = None
    """None: TLS; on loopback whatever it speaks."""


@dataclass(frozen=True)
class Registries:
    """All registries that the configuration names."""

    by_host: Mapping[str, RegistrySettings] = field(default_factory=dict)

    def find(self, host: str) -> RegistrySettings:
        """Return what is set for a registry, which may be nothing."""
        return self.by_host.get(host, RegistrySettings())

    def as_document(self) -> dict[str, dict[str, object]]:
        """Return the table as it can be written in the configuration."""
        return {host: _as_table(settings) for host, settings in sorted(self.by_host.items())}

    def __str__(self) -> str:
        return ", ".join(
            f"{host}: {' '.join(f'{key}={_plain(value)}' for key, value in table.items())}"
            for host, table in self.as_document().items()
        )


def parse_registries(untrusted_value: object) -> Registries:
    """Return the settings in a table; a text is a table as TOML writes it inline.

    Raises:
        ValueError: with what was expected.
    """
    if isinstance(untrusted_value, str):
        try:
            untrusted_value = tomllib.loads(f"table = {untrusted_value}")["table"]
        except tomllib.TOMLDecodeError as error:
            raise ValueError(_EXPECTED) from error
    if not isinstance(untrusted_value, dict):
        raise ValueError(_EXPECTED)  # noqa: TRY004 - what every parser of a setting raises
    return Registries({host: _parse_one(host, table) for host, table in untrusted_value.items()})


def _parse_one(host: str, untrusted: object) -> RegistrySettings:
    if not REGISTRY_HOST.fullmatch(host):
        raise ValueError(f"{_EXPECTED}; {host!r} is no HOST or HOST:PORT (write it in quotes)")
    if not isinstance(untrusted, dict) or untrusted.keys() - {"mirrors", "insecure"}:
        raise ValueError(f"{_EXPECTED}, which {host} is not")
    mirrors, insecure = untrusted.get("mirrors", []), untrusted.get("insecure")
    if not isinstance(mirrors, list) or not all(_is_mirror(mirror) for mirror in mirrors):
        raise ValueError(f"{_EXPECTED}; the mirrors of {host} are not HOST[:PORT][/PATH]")
    if insecure is not None and not isinstance(insecure, bool):
        raise ValueError(f"{_EXPECTED}; insecure of {host} is neither")
    return RegistrySettings(mirrors=tuple(mirrors), insecure=insecure)


def _is_mirror(untrusted: object) -> bool:
    if not isinstance(untrusted, str):
        return False
    host, slash, path = untrusted.partition("/")
    return bool(REGISTRY_HOST.fullmatch(host) and _MIRROR_PATH.fullmatch(slash + path))


def _as_table(settings: RegistrySettings) -> dict[str, object]:
    table: dict[str, object] = {}
    if settings.mirrors:
        table["mirrors"] = list(settings.mirrors)
    if settings.insecure is not None:
        table["insecure"] = settings.insecure
    return table


def _plain(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value).lower()
