"""Settings: typed values, each with the place that it came from.

Precedence: environment (`BANGER_*`), then the configuration file, then a
default that may scale with the host. (Flags are parameters of a request and
beat all of these.) One table, `OPTIONS`, is the source for parsing, for
`banger config show` and for the documentation.

Reads the configuration file; writes nothing (hazard B8). Hazard F6: each fault is
one sentence with the file, the key and the line.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from banger.durations import parse_duration
from banger.errors import ConfigInvalid
from banger.model.registries import Registries, parse_registries
from banger.model.vm import DISK_MIB_RANGE, MEMORY_MIB_RANGE, VCPU_RANGE
from banger.nearnames import format_near_hint
from banger.settingvalues import duration_or_off, one_of, size, switch, text, whole_number
from banger.words import AUTO, driver_words, network_words

Value = str | int | bool | Registries

POOL_HOST_MIB = 4000
"""Nominally 4 GiB: a host with so much has some for clones that nobody has asked for yet."""


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


@dataclass(frozen=True, kw_only=True)
class VmDefaults:
    """The size of a VM that is asked for without one."""

    vcpu: int
    memory_mib: int
    disk_gib: int


@dataclass(frozen=True, kw_only=True)
class TemplateSettings:
    """What is kept of machines that have booted."""

    enabled: bool
    cache_gib: int
    pool: int
    """Clones of each template in use that wait to be claimed."""


@dataclass(frozen=True, kw_only=True)
class QemuSettings:
    """Where QEMU is."""

    binary: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, decided: an attribute for each key of `OPTIONS`."""

    log_level: str
    driver: str
    accel: str
    default_image: str
    default_kernel: str
    network: str
    vm_defaults: VmDefaults
    memory_overcommit: int
    auto_stop_after: str
    """A duration as it was written, or `off`."""
    template: TemplateSettings
    registries: Registries
    qemu: QemuSettings
    origins: Mapping[str, str]
    """Where the value of each key came from."""

    @property
    def auto_stop_s(self) -> float | None:
        """Return after how many idle seconds a VM is stopped; None: never."""
        return parse_duration(self.auto_stop_after)

    def items(self) -> Iterator[tuple[str, Value, str]]:
        """Yield (key, value, origin) in the table's order."""
        for option in OPTIONS:
            yield option.key, attrgetter(option.key)(self), self.origins[option.key]


def format_value(value: Value) -> str:
    """Return a value for a person, as the file has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


_GROUPS = {"vm_defaults": VmDefaults, "template": TemplateSettings, "qemu": QemuSettings}


def _build(values: Mapping[str, Value], origins: Mapping[str, str]) -> Settings:
    """Return the settings with these values, by key."""
    grouped: dict[str, Any] = {name: {} for name in _GROUPS}
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        (grouped[group] if group else grouped)[name] = value
    parts = {name: kind(**grouped.pop(name)) for name, kind in _GROUPS.items()}
    return Settings(**grouped, **parts, origins=origins)


def _fixed(value: Value) -> Callable[[HostSize], tuple[Value, str]]:
    return lambda _: (value, "default")


def _default_vcpu(host: HostSize) -> tuple[int, str]:
    return min(max(host.cores // 4, 1), 4), f"default: {host.cores} cores / 4, within 1..4"


def _default_memory(host: HostSize) -> tuple[int, str]:
    # A multiple of 256 MiB, so that the number on the screen is a round one.
    size = min(max(host.memory_mib // 8, 512), 8192) // 256 * 256
    return size, f"default: {host.memory_mib} MiB / 8, within 512..8192"


def _default_pool(host: HostSize) -> tuple[int, str]:
    size = 1 if host.memory_mib >= POOL_HOST_MIB else 0
    return size, f"default: {host.memory_mib} MiB; 1 from {POOL_HOST_MIB} on"


OPTIONS: tuple[Option, ...] = (
    Option(
        "log_level",
        "How much the daemon logs.",
        one_of("debug", "info", "warning", "error"),
        _fixed("info"),
    ),
    Option("driver", "What runs VMs.", one_of(*driver_words()), _fixed(AUTO)),
    Option(
        "accel",
        "Hardware virtualisation (kvm), emulation (tcg), or what works (auto).",
        one_of("auto", "kvm", "tcg"),
        _fixed("auto"),
    ),
    Option("default_image", "The image without --image.", text, _fixed("debian-bookworm")),
    Option("default_kernel", "The kernel without --kernel.", text, _fixed("debian-cloud")),
    Option(
        "network",
        "The network without --network.",
        one_of(*network_words()),
        _fixed(network_words()[0]),
    ),
    Option("vm_defaults.vcpu", "Virtual CPUs of a VM.", whole_number(VCPU_RANGE), _default_vcpu),
    Option(
        "vm_defaults.memory_mib",
        'Memory of a VM: MiB, or a text such as "2G".',
        size(MEMORY_MIB_RANGE, unit_mib=1),
        _default_memory,
    ),
    Option(
        "vm_defaults.disk_gib",
        'Size of a VM\'s data disk, sparse: GiB, or a text such as "20G".',
        size(range(1, DISK_MIB_RANGE.stop // 1024 + 1), unit_mib=1024),
        _fixed(8),
    ),
    Option(
        "memory_overcommit",
        "How many times the host's available memory the guests' may add up to.",
        whole_number(range(1, 101)),
        _fixed(2),
    ),
    Option(
        "auto_stop_after",
        "How long a VM that is made from now on may be idle before it is stopped, or off.",
        duration_or_off,
        _fixed("off"),
    ),
    Option(
        "template.enabled",
        "Start VMs from templates: memory of the image already booted (true or false).",
        switch,
        _fixed(True),
    ),
    Option(
        "template.cache_gib",
        'Disk space for templates: GiB, or a text such as "20G"; the least recently used go first.',
        size(range(1, 100_001), unit_mib=1024),
        _fixed(10),
    ),
    Option(
        "template.pool",
        "Clones of a template in use that are made before they are asked for; 0: none.",
        whole_number(range(5)),
        _default_pool,
    ),
    Option(
        "registries",
        "For each registry: mirrors, whether it speaks plain HTTP, and whose signatures count.",
        parse_registries,
        _fixed(Registries()),
    ),
    Option("qemu.binary", "QEMU's program, a name or a path.", text, _fixed("qemu-system-x86_64")),
)
_BY_KEY = {option.key: option for option in OPTIONS}


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
    return _build(values, origins)


def probe_host_size() -> HostSize:
    """Return the cores that we may use and the host's memory."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return HostSize(cores=len(os.sched_getaffinity(0)), memory_mib=pages // 2**20)


def parse_config(untrusted_text: str, where: str) -> dict[str, Value]:
    """Return the values in the text of a configuration file, by key. Pure.

    Raises:
        ConfigInvalid: with `where`, the key and its line.
    """
    try:
        document = tomllib.loads(untrusted_text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(f"{where} is not valid TOML: {error}.") from error
    values: dict[str, Value] = {}
    for key, untrusted_value in _flatten(document):
        line = _find_line(untrusted_text, key)
        option = _BY_KEY.get(key)
        if option is None:
            raise ConfigInvalid(
                f"{where}, line {line}: there is no setting {key}.",
                hint=format_near_hint(key, _BY_KEY, see="banger config show"),
            )
        try:
            values[key] = option.parse(untrusted_value)
        except ValueError as error:
            raise ConfigInvalid(
                f"{where}, line {line}: {key} is {untrusted_value!r}, expected {error}."
            ) from None
    return values


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


def _flatten(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield (dotted key, value); a table that is itself a key of ours is a value."""
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict) and key not in _BY_KEY:
            yield from _flatten(value, f"{key}.")
        else:
            yield key, value


def _find_line(text: str, key: str) -> int:
    """Return the line on which `key` is set; tomllib does not tell. 1 if it is not found.

    The key may be a table of its own.
    """
    table, _, name = key.rpartition(".")
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            current = header[1].strip()
            if current == key or current.startswith(f"{key}."):
                return number
        left = line.partition("=")[0].strip().strip("\"'")
        if (current == table and left == name) or (not current and left == key):
            return number
    return 1
