"""Decide the settings from the environment, the configuration file and the defaults.

Precedence: environment (`BANGER_*`), then the configuration file, then a
default that may scale with the host. (Flags are parameters of a request and
beat all of these.) `banger.settings` has the table.

Reads the configuration file; writes nothing (hazard B8). Hazard F6: each fault is
one sentence with the file, the key and the line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from banger.errors import ConfigInvalid
from banger.setting import HostSize, Option, Value
from banger.settings import OPTIONS, Settings, build_settings
from banger.tomlkeys import parse_keys


def load_settings(path: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings of this user on this host.

    Raises:
        ConfigInvalid: the file or a variable is not valid; names file, key and line.
    """
    return decide_settings(load_file(path), path, environ)


def decide_settings(
    from_file: Mapping[str, Value], path: Path, environ: Mapping[str, str]
) -> Settings:
    """Return the settings for what `path` held and the variables of `environ`.

    Raises:
        ConfigInvalid: a variable is not valid.
    """
    host = probe_host_size()
    values: dict[str, Value] = {}
    origins: dict[str, str] = {}
    for option in OPTIONS:
        values[option.key], origins[option.key] = option.default(host)
    for key, value in from_file.items():
        values[key], origins[key] = value, f"file: {path}"
    for option in OPTIONS:
        if option.variable in environ:
            values[option.key] = _parse_variable(option, environ[option.variable])
            origins[option.key] = f"environment: {option.variable}"
    return build_settings(values, origins)


def probe_host_size() -> HostSize:
    """Return the cores that we may use and the host's memory."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return HostSize(cores=len(os.sched_getaffinity(0)), memory_mib=pages // 2**20)


def parse_config(untrusted_text: str, where: str) -> dict[str, Value]:
    """Return the values in the text of a configuration file, by key. Pure.

    Raises:
        ConfigInvalid: with `where`, the key and its line.
    """
    parsers = {option.key: option.parse for option in OPTIONS}
    return parse_keys(
        untrusted_text, parsers, where=where, noun="setting", see="banger config show"
    )


def load_file(path: Path) -> dict[str, Value]:
    """Return what the configuration file sets, by key; nothing if there is no file.

    Raises:
        ConfigInvalid: it cannot be read or is not valid.
    """
    try:
        owner = path.stat().st_uid
        if owner not in (os.getuid(), 0):
            raise ConfigInvalid(f"{path} belongs to another user (uid {owner}).")
        return parse_config(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigInvalid(
            f"{path} cannot be read: {error.strerror}.", hint=f"ls -ld {path.parent}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{path} is not UTF-8 text.") from error


def _parse_variable(option: Option, untrusted_value: str) -> Value:
    try:
        return option.parse(untrusted_value)
    except ValueError as error:
        raise ConfigInvalid(
            f"{option.variable} is {untrusted_value!r}, expected {error}."
        ) from None
