"""All settings: the table of options, and the resolved values.

`OPTIONS` is the source for parsing, for `banger config show` and for the documentation. The
settings of a driver or network are declared in its folder; their rows come last. Pure, except for
importing those declarations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from banger.durations import parse_duration
from banger.errors import InvalidRequest
from banger.model.egress import Profile, parse_rule, split_rules
from banger.model.filesync import FileSync, parse_file_sync
from banger.model.registries import Registries, parse_registries
from banger.model.vm import DISK_MIB_RANGE, MEMORY_MIB_RANGE, VCPU_RANGE
from banger.setting import Group, HostSize, Option, Value, fixed
from banger.settingvalues import any_text, duration_or_off, one_of, size, switch, text, whole_number
from banger.words import AUTO, driver_words, kind_packages, network_words

POOL_HOST_MIB = 4000
"""Nominally 4 GiB: a host with this much memory can afford clones in advance."""

F = TypeVar("F")


@dataclass(frozen=True, kw_only=True)
class VmDefaults:
    """Default size of a VM."""

    vcpu: int
    memory_mib: int
    disk_gib: int


@dataclass(frozen=True, kw_only=True)
class TemplateSettings:
    """Settings of templates and of the pool."""

    enabled: bool
    cache_gib: int
    pool: int
    """Pooled clones per template in use."""


@dataclass(frozen=True, kw_only=True)
class NamesSettings:
    """Where names of VMs are served on the host's loopback."""

    http_port: int
    """0: there are no links."""
    socks_port: int
    """0: there is no proxy."""
    dns_port: int
    """0: there are no DNS names."""


@dataclass(frozen=True, kw_only=True)
class EgressSettings:
    """Egress policy of new VMs."""

    profile: str
    rules: str
    """Rules after those of a request, separated by commas."""


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """Settings of the HTTP front."""

    listen: str
    allowed_hosts: str
    """Separated by commas."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The resolved settings: an attribute for each key of `OPTIONS`."""

    log_level: str
    driver: str
    accel: str
    default_image: str
    default_kernel: str
    network: str
    vm_defaults: VmDefaults
    memory_overcommit: int
    auto_stop_after: str
    """A duration as written, or `off`."""
    stats_interval_s: int
    """0: no samples are taken."""
    template: TemplateSettings
    names: NamesSettings
    egress: EgressSettings
    web: WebSettings
    registries: Registries
    file_sync: FileSync
    kinds: tuple[object, ...]
    """The groups of the drivers and networks that have settings; `of` returns one."""
    values: Mapping[str, Value]
    """The same values, by key."""
    origins: Mapping[str, str]
    """Origin of the value of each key."""

    @property
    def auto_stop_s(self) -> float | None:
        """Return the idle seconds after which a VM is stopped, or None for never."""
        return parse_duration(self.auto_stop_after)

    def of(self, fields: type[F]) -> F:
        """Return the settings of a driver or network, declared in its folder as class `fields`."""
        return next(group for group in self.kinds if isinstance(group, fields))

    def items(self) -> Iterator[tuple[str, Value, str]]:
        """Yield (key, value, origin) in the table's order."""
        for option in OPTIONS:
            yield option.key, self.values[option.key], self.origins[option.key]


def build_settings(values: Mapping[str, Value], origins: Mapping[str, str]) -> Settings:
    """Return the settings with these values, by key."""
    fields: dict[str, dict[str, Any]] = {"": {}}
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        fields.setdefault(group, {})[name] = value
    return Settings(
        **fields[""],
        vm_defaults=VmDefaults(**fields["vm_defaults"]),
        template=TemplateSettings(**fields["template"]),
        names=NamesSettings(**fields["names"]),
        egress=EgressSettings(**fields["egress"]),
        web=WebSettings(**fields["web"]),
        kinds=tuple(group.fields(**fields[group.name]) for group in _GROUPS),
        values=values,
        origins=origins,
    )


def _load_groups() -> tuple[Group, ...]:
    """Return the settings that drivers and networks declare."""
    modules = [import_module(f"{package}.settings") for package in kind_packages()]
    return tuple(group for module in modules for group in module.GROUPS)


def _default_vcpu(host: HostSize) -> tuple[int, str]:
    return min(max(host.cores // 4, 1), 4), f"default: {host.cores} cores / 4, within 1..4"


def _default_memory(host: HostSize) -> tuple[int, str]:
    # A multiple of 256 MiB, so that the displayed number is round.
    size = min(max(host.memory_mib // 8, 512), 8192) // 256 * 256
    return size, f"default: {host.memory_mib} MiB / 8, within 512..8192"


def _default_pool(host: HostSize) -> tuple[int, str]:
    size = 1 if host.memory_mib >= POOL_HOST_MIB else 0
    return size, f"default: {host.memory_mib} MiB; 1 from {POOL_HOST_MIB} on"


def _parse_rules(untrusted_value: object) -> str:
    """Parse egress rules; return the text as written."""
    try:
        if isinstance(untrusted_value, str):
            for rule in split_rules(untrusted_value):
                parse_rule(rule)
            return untrusted_value
    except InvalidRequest as error:
        raise ValueError(f"rules, separated by commas ({error.message})") from error
    raise ValueError("a text of rules, separated by commas")


_OWN: tuple[Option, ...] = (
    Option(
        "log_level",
        "Level of the daemon's log.",
        one_of("debug", "info", "warning", "error"),
        fixed("info"),
    ),
    Option("driver", "Driver that runs VMs.", one_of(*driver_words()), fixed(AUTO)),
    Option(
        "accel",
        "Hardware virtualisation (kvm), emulation (tcg), or what works (auto).",
        one_of("auto", "kvm", "tcg"),
        fixed("auto"),
    ),
    Option("default_image", "Image used without --image.", text, fixed("debian-bookworm")),
    Option("default_kernel", "Kernel used without --kernel.", text, fixed("debian-cloud")),
    Option(
        "network",
        "Network used without --network.",
        one_of(*network_words()),
        fixed(network_words()[0]),
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
        fixed(8),
    ),
    Option(
        "memory_overcommit",
        "Limit of all guests' memory together, as a multiple of the host's available memory.",
        whole_number(range(1, 101)),
        fixed(2),
    ),
    Option(
        "auto_stop_after",
        "Idle time after which VMs created from now on are stopped, or off.",
        duration_or_off,
        fixed("off"),
    ),
    Option(
        "stats_interval_s",
        "Seconds between two samples of each running VM for `vm stats --history`; 0: none.",
        whole_number(range(3601)),
        fixed(10),
    ),
    Option(
        "template.enabled",
        "Start VMs from templates: memory of the image already booted (true or false).",
        switch,
        fixed(True),
    ),
    Option(
        "template.cache_gib",
        'Disk space for templates: GiB, or a text such as "20G"; the least recently used '
        "are deleted.",
        size(range(1, 100_001), unit_mib=1024),
        fixed(10),
    ),
    Option(
        "template.pool",
        "Clones to make in advance for each template in use; 0: none.",
        whole_number(range(5)),
        _default_pool,
    ),
    Option(
        "names.http_port",
        "Loopback port for links to VMs (10 higher if taken); 0: no links.",
        whole_number(range(65536)),
        fixed(7780),
    ),
    Option(
        "names.socks_port",
        "Loopback port for the SOCKS proxy to VMs (10 higher if taken); 0: no proxy.",
        whole_number(range(65536)),
        fixed(7781),
    ),
    Option(
        "names.dns_port",
        "Loopback port for the DNS server of NAME.vm; 0: no server.",
        whole_number(range(65536)),
        fixed(7753),
    ),
    Option(
        "egress.profile",
        "Egress profile of new VMs: public (public addresses), none, allowlist (what rules allow, "
        "also by name) or registries (also public package registries and code hosts).",
        one_of(*Profile),
        fixed(Profile.PUBLIC.value),
    ),
    Option(
        "egress.rules",
        'Egress rules of new VMs, such as "allow 10.1.2.3:3128, deny 203.0.113.7".',
        _parse_rules,
        fixed(""),
    ),
    Option(
        "web.listen",
        "Where `banger web` listens: ADDRESS:PORT, or the path of a Unix socket.",
        text,
        fixed("127.0.0.1:7782"),
    ),
    Option(
        "web.allowed_hosts",
        "Other names under which a reverse proxy serves the HTTP front, separated by commas.",
        any_text,
        fixed(""),
    ),
    Option(
        "registries",
        "For each registry: mirrors, plain HTTP, and the keys that images must be signed with.",
        parse_registries,
        fixed(Registries()),
    ),
    Option(
        "file_sync",
        "Files of your home directory to copy into each new VM.",
        parse_file_sync,
        fixed(FileSync()),
    ),
)
_GROUPS = _load_groups()

OPTIONS = (*_OWN, *(option for group in _GROUPS for option in group.options))
