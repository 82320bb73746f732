"""`banger.toml`: its keys, and the strict parser of their values. Pure.

`KEYS` is the source of the parser, of what `banger init` writes, and of docs/configuration.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from banger.model.excluding import PATTERNS_MAX, is_pattern
from banger.model.secrets import NAME as SECRET_NAME
from banger.model.secrets import SECRETS_MAX
from banger.model.setup import is_command, is_plain_path
from banger.model.vm import DISK_MIB_RANGE, MEMORY_MIB_RANGE, VCPU_RANGE
from banger.settingvalues import one_of, whole_number
from banger.sizes import format_size, parse_size_mib
from banger.tomlkeys import parse_keys
from banger.words import network_words

NAME = "banger.toml"
TEXT_MAX = 1000
"""Characters of a name."""
ENTRIES_MAX = 100
"""Of a list or table."""
VALUE_MAX = 32 * 1024
"""Characters of a variable's value."""
PORTS = range(1, 65536)
SHELL = ("/bin/sh", "-c")

_PORT = re.compile(r"(?:(?P<host>[0-9]{1,5}):)?(?P<guest>[0-9]{1,5})(?:/(?P<protocol>tcp|udp))?")
_SESSION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")

Parse = Callable[[object], object]


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port to publish on the host's loopback. `host`: None for the guest's number, if free."""

    guest: int
    host: int | None = None
    protocol: str = "tcp"

    def __str__(self) -> str:
        host = "" if self.host is None else f"{self.host}:"
        return f"{host}{self.guest}{'/udp' if self.protocol == 'udp' else ''}"


@dataclass(frozen=True, kw_only=True)
class Project:
    """What a repository asks for; None and empty mean that it does not."""

    image: str | None = None
    kernel: str | None = None
    vcpu: int | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    network: str | None = None
    ports: tuple[Port, ...] = ()
    reuse: bool = False
    """Run in the VM that is there for the repository, if there is one."""
    secrets: tuple[str, ...] = ()
    """Names of secrets that requests of the VM carry."""
    exclude: tuple[str, ...] = ()
    """Patterns of paths to leave out of the workspace, as in `.gitignore`."""
    read_only: bool = False
    """Let nothing in the guest write the workspace."""
    setup_commands: tuple[str, ...] = ()
    setup_inputs: tuple[str, ...] = ()
    """Files below the top of the repository that the commands read."""
    env: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    """Commands for a shell by the names of their sessions, in the workspace."""
    guest_path: str | None = None
    """Where the workspace is, of a `devcontainer.json`, as all that follows."""
    on_create: tuple[tuple[str, ...], ...] = ()
    """Argument lists to run in the workspace of a new VM."""
    on_start: tuple[tuple[str, ...], ...] = ()
    """The same, after each start."""
    left_out: tuple[str, ...] = ()
    """A sentence for each thing that cannot be had."""


@dataclass(frozen=True)
class Key:
    """One key. `example`: a value as it is written in the file."""

    name: str
    field: str
    doc: str
    parse: Parse
    example: str
    setting: str | None = None
    """The setting that the key stands before; its variable stands before the key."""


def parse_project(untrusted_text: str, where: str) -> Project:
    """Return what the text of a `banger.toml` asks for.

    Raises:
        ConfigInvalid: with `where`, the key and its line.
    """
    parsers = {key.name: key.parse for key in KEYS}
    values = parse_keys(untrusted_text, parsers, where=where, noun="key", see="banger init --print")
    fields: dict[str, Any] = {key.field: values[key.name] for key in KEYS if key.name in values}
    return Project(**fields)


def describe_project(project: Project) -> list[str]:
    """Return a line for each thing that is asked for."""
    told = [
        f"{key.name}: {_format(key, value)}"
        for key in KEYS
        if (value := getattr(project, key.field)) not in (None, (), {}, False)
    ]
    if project.guest_path:
        told.append(f"workspace: {project.guest_path}")
    told += [f"runs in the workspace: {show_command(c)}" for c in project.on_create]
    return told + [f"runs there at each start: {show_command(c)}" for c in project.on_start]


def show_command(argv: tuple[str, ...]) -> str:
    """Return a command as it is written in the file."""
    return argv[2] if argv[:2] == SHELL and len(argv) == 3 else " ".join(argv)


def _format(key: Key, value: object) -> str:
    if value is True:
        return "yes"
    if key.field.endswith("_mib") and isinstance(value, int):
        return format_size(value)
    if isinstance(value, dict):
        return " ".join(f"{name}={text}" for name, text in value.items())
    return ", ".join(str(each) for each in value) if isinstance(value, tuple) else str(value)


def parse_name(untrusted_value: object) -> str:
    """Parse a name of an image or a kernel; raises ValueError."""
    if (
        isinstance(untrusted_value, str)
        and 0 < len(untrusted_value) <= TEXT_MAX
        and untrusted_value.isprintable()
    ):
        return untrusted_value
    raise ValueError("a name")


def _switch(untrusted_value: object) -> bool:
    if isinstance(untrusted_value, bool):
        return untrusted_value
    raise ValueError("true or false")


def _size(allowed: range) -> Parse:
    def parse(untrusted_value: object) -> int:
        if isinstance(untrusted_value, str) and not untrusted_value.isdecimal():
            size_mib = parse_size_mib(untrusted_value)
            if size_mib in allowed:
                assert size_mib is not None
                return size_mib
        first, last = format_size(allowed.start), format_size(allowed.stop - 1)
        raise ValueError(f'a size with a unit, such as "2G", from {first} to {last}')

    return parse


def _ports(untrusted_value: object) -> tuple[Port, ...]:
    if not isinstance(untrusted_value, list) or len(untrusted_value) > ENTRIES_MAX:
        raise ValueError(f"a list of at most {ENTRIES_MAX} ports")
    ports = tuple(_port(each) for each in untrusted_value)
    guests = [(port.guest, port.protocol) for port in ports]
    hosts = [(port.host, port.protocol) for port in ports if port.host is not None]
    if len(set(guests)) < len(guests) or len(set(hosts)) < len(hosts):
        raise ValueError("each port once")
    return ports


def _port(untrusted_value: object) -> Port:
    text = str(untrusted_value) if type(untrusted_value) is int else untrusted_value
    found = _PORT.fullmatch(text) if isinstance(text, str) and len(text) <= TEXT_MAX else None
    if found is None:
        raise ValueError('ports of the loopback such as 8000, "8080:80" or "53/udp"')
    host = None if found["host"] is None else int(found["host"])
    if int(found["guest"]) not in PORTS or (host is not None and host not in PORTS):
        raise ValueError(f"ports from {PORTS[0]} to {PORTS[-1]}")
    return Port(guest=int(found["guest"]), host=host, protocol=found["protocol"] or "tcp")


def _secrets(untrusted_value: object) -> tuple[str, ...]:
    if not isinstance(untrusted_value, list) or len(untrusted_value) > SECRETS_MAX:
        raise ValueError(f"a list of at most {SECRETS_MAX} names of secrets")
    for each in untrusted_value:
        if not isinstance(each, str) or not SECRET_NAME.fullmatch(each):
            raise ValueError("names of secrets, of letters, digits and _")
    return tuple(untrusted_value)


def _commands(untrusted_value: object) -> tuple[str, ...]:
    if not isinstance(untrusted_value, list) or not 0 < len(untrusted_value) <= ENTRIES_MAX:
        raise ValueError(f"a list of 1 to {ENTRIES_MAX} commands")
    for each in untrusted_value:
        if not isinstance(each, str) or not is_command(each):
            raise ValueError("texts that are commands for a shell")
    return tuple(untrusted_value)


def _paths(untrusted_value: object) -> tuple[str, ...]:
    if not isinstance(untrusted_value, list) or len(untrusted_value) > ENTRIES_MAX:
        raise ValueError(f"a list of at most {ENTRIES_MAX} files")
    for each in untrusted_value:
        if not isinstance(each, str) or not each.isprintable() or not is_plain_path(each):
            raise ValueError('files of the repository such as "web/package.json", without ..')
    if len(set(untrusted_value)) < len(untrusted_value):
        raise ValueError("each file once")
    return tuple(untrusted_value)


def _patterns(untrusted_value: object) -> tuple[str, ...]:
    if not isinstance(untrusted_value, list) or len(untrusted_value) > PATTERNS_MAX:
        raise ValueError(f"a list of at most {PATTERNS_MAX} patterns")
    for each in untrusted_value:
        if not isinstance(each, str) or not is_pattern(each):
            raise ValueError("patterns of paths, as in .gitignore")
    return tuple(untrusted_value)


def _sessions(untrusted_value: object) -> dict[str, str]:
    if not isinstance(untrusted_value, dict) or len(untrusted_value) > ENTRIES_MAX:
        raise ValueError(f"a table of at most {ENTRIES_MAX} commands")
    for name, command in untrusted_value.items():
        if not _SESSION.fullmatch(name):
            raise ValueError("names of lower-case letters, digits and -")
        if not isinstance(command, str) or not is_command(command):
            raise ValueError("texts that are commands for a shell")
    return dict(untrusted_value)


def parse_env(untrusted_value: object) -> dict[str, str]:
    """Parse a table of variables; raises ValueError."""
    if not isinstance(untrusted_value, dict) or len(untrusted_value) > ENTRIES_MAX:
        raise ValueError(f"a table of at most {ENTRIES_MAX} variables")
    for name, value in untrusted_value.items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError("names of letters, digits and _")
        if not isinstance(value, str) or "\0" in value or len(value) > VALUE_MAX:
            raise ValueError(f"texts of at most {VALUE_MAX} characters, without a NUL")
    return dict(untrusted_value)


KEYS = (
    Key("image", "image", "Image to start from.", parse_name, '"debian-bookworm"', "default_image"),
    Key("kernel", "kernel", "Kernel to boot.", parse_name, '"debian-cloud"', "default_kernel"),
    Key("vcpu", "vcpu", "Virtual CPUs.", whole_number(VCPU_RANGE), "2", setting="vm_defaults.vcpu"),
    Key(
        "memory",
        "memory_mib",
        "Memory, with a unit.",
        _size(MEMORY_MIB_RANGE),
        '"2G"',
        setting="vm_defaults.memory_mib",
    ),
    Key(
        "disk",
        "disk_mib",
        "Size of the data disk, with a unit; sparse.",
        _size(DISK_MIB_RANGE),
        '"8G"',
        setting="vm_defaults.disk_gib",
    ),
    Key(
        "network",
        "network",
        f"Network: {' or '.join(network_words())}.",
        one_of(*network_words()),
        f'"{network_words()[0]}"',
        setting="network",
    ),
    Key(
        "ports",
        "ports",
        "Ports to publish on the host's loopback: [HOST:]GUEST[/udp].",
        _ports,
        '[8000, "8080:80"]',
    ),
    Key(
        "secrets",
        "secrets",
        "Secrets for HTTPS requests of the VM, as --secret does.",
        _secrets,
        '["EXAMPLE_TOKEN"]',
    ),
    Key(
        "reuse",
        "reuse",
        "Run in the newest VM that has the repository, if there is one, as --reuse does.",
        _switch,
        "true",
    ),
    Key(
        "workspace.exclude",
        "exclude",
        "Paths to leave out of the copy of the repository, as in .gitignore; also from exports.",
        _patterns,
        '["/assets/video/", "*.pem"]',
    ),
    Key(
        "workspace.read_only",
        "read_only",
        "Make the copy of the repository read-only in the VM, as --read-only does.",
        _switch,
        "true",
    ),
    Key(
        "setup.commands",
        "setup_commands",
        "Commands that make a VM ready; run once, the result is kept as a template.",
        _commands,
        '["apt-get update", "apt-get install -y gcc"]',
    ),
    Key(
        "setup.inputs",
        "setup_inputs",
        "Files of the repository that the commands read; a change runs them again.",
        _paths,
        '["requirements.txt"]',
    ),
    Key(
        "sessions",
        "sessions",
        "Long-running commands to start in the workspace, by name.",
        _sessions,
        '{ web = "npm start" }',
    ),
    Key("env", "env", "Variables of every command in the VM.", parse_env, '{ CI = "1" }'),
)
