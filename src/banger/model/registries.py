"""The configuration of registries: mirrors, plain HTTP, and the keys that sign images. Pure.

[registries."docker.io"]
mirrors = ["mirror.example:5000/hub"]   # tried first, in this order
[registries."mirror.example:5000"]
insecure = true                         # plain HTTP; false: TLS, also on loopback
[registries."ghcr.io/team"]             # a registry, or a prefix of its repositories' names
signed_by = ["/etc/keys/team.pub"]      # each image needs a signature by one of these; []: by none
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
REGISTRY_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::[0-9]{{1,5}})?")
_PATH = re.compile(r"(?:/[a-z0-9._-]+)*")
_KEYS = {"mirrors", "insecure", "signed_by"}
_EXPECTED = (
    "a table with mirrors = [HOST ...], insecure = true or false and signed_by = [FILE ...] "
    "for each registry, or with signed_by for a part of one"
)


@dataclass(frozen=True)
class RegistrySettings:
    """Settings of a registry, or of a part of a registry."""

    mirrors: tuple[str, ...] = ()
    """`HOST[:PORT][/PATH]`."""
    insecure: bool | None = None
    """None: TLS, but on loopback whatever the registry speaks."""
    signed_by: tuple[str, ...] | None = None
    """Files of public keys. None: not set."""


@dataclass(frozen=True)
class Registries:
    """All registries, and parts of registries (`HOST/PATH`), that the configuration names."""

    by_name: Mapping[str, RegistrySettings] = field(default_factory=dict)

    def find(self, host: str) -> RegistrySettings:
        """Return a registry's settings; defaults if the configuration does not name it."""
        return self.by_name.get(host, RegistrySettings())

    def signers(self, host: str, repository: str) -> tuple[str, ...]:
        """Return the keys, one of which must have signed each image of a repository.

        Empty: images need no signature. The longest name with a `signed_by` wins.
        """
        name = f"{host}/{repository}"
        while name:
            found = self.find(name).signed_by
            if found is not None:
                return found
            name = name.rpartition("/")[0]
        return ()

    def as_document(self) -> dict[str, dict[str, object]]:
        """Return the table as written in the configuration."""
        return {host: _as_table(settings) for host, settings in sorted(self.by_name.items())}

    def __str__(self) -> str:
        return ", ".join(
            f"{host}: {' '.join(f'{key}={_plain(value)}' for key, value in table.items())}"
            for host, table in self.as_document().items()
        )


def parse_registries(untrusted_value: object) -> Registries:
    """Return the settings in a table; a string holds an inline TOML table.

    Raises:
        ValueError: not such a table; the message says what was expected.
    """
    if isinstance(untrusted_value, str):
        try:
            untrusted_value = tomllib.loads(f"table = {untrusted_value}")["table"]
        except tomllib.TOMLDecodeError as error:
            raise ValueError(_EXPECTED) from error
    if not isinstance(untrusted_value, dict):
        raise ValueError(_EXPECTED)  # noqa: TRY004 - what every parser of a setting raises
    return Registries({name: _parse_one(name, table) for name, table in untrusted_value.items()})


def _parse_one(name: str, untrusted: object) -> RegistrySettings:
    host, slash, path = name.partition("/")
    if not REGISTRY_HOST.fullmatch(host) or not _PATH.fullmatch(slash + path):
        raise ValueError(f"{_EXPECTED}; {name!r} is not HOST[:PORT][/PATH] (write it in quotes)")
    possible = {"signed_by"} if slash else _KEYS
    if not isinstance(untrusted, dict) or untrusted.keys() - possible:
        raise ValueError(f"{_EXPECTED}; {name} is not such a table")
    mirrors, insecure = untrusted.get("mirrors", []), untrusted.get("insecure")
    if not isinstance(mirrors, list) or not all(_is_mirror(mirror) for mirror in mirrors):
        raise ValueError(f"{_EXPECTED}; the mirrors of {name} are not HOST[:PORT][/PATH]")
    if insecure is not None and not isinstance(insecure, bool):
        raise ValueError(f"{_EXPECTED}; insecure of {name} is not true or false")
    return RegistrySettings(
        mirrors=tuple(mirrors),
        insecure=insecure,
        signed_by=_parse_signers(name, untrusted.get("signed_by")),
    )


def _parse_signers(name: str, untrusted: object) -> tuple[str, ...] | None:
    if untrusted is None:
        return None
    files = untrusted if isinstance(untrusted, list) else [None]
    if not all(isinstance(file, str) and file.startswith(("/", "~/")) for file in files):
        raise ValueError(f"{_EXPECTED}; signed_by of {name} is not a list of /FILE or ~/FILE")
    return tuple(files)


def _is_mirror(untrusted: object) -> bool:
    if not isinstance(untrusted, str):
        return False
    host, slash, path = untrusted.partition("/")
    return bool(REGISTRY_HOST.fullmatch(host) and _PATH.fullmatch(slash + path))


def _as_table(settings: RegistrySettings) -> dict[str, object]:
    table: dict[str, object] = {}
    if settings.mirrors:
        table["mirrors"] = list(settings.mirrors)
    if settings.insecure is not None:
        table["insecure"] = settings.insecure
    if settings.signed_by is not None:
        table["signed_by"] = list(settings.signed_by)
    return table


def _plain(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value).lower()
