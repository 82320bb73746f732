"""The part of a repository's configuration that is copied into the guest: the few keys
listed here, and nothing else (hazard F4; product contract, section 6).

Reads the configuration through git (which runs no program), the ignore and attribute
files named there, and no other files. Writes nothing on the host.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from banger.workspace.facts import Settings
from banger.workspace.git import host_git
from banger.workspace.locate import Places

SIDE_FILE_BYTES_MAX = 4 * 1024 * 1024
"""Larger ignore and attribute files are left out; git reads at most 100 MiB."""

_IDENTITY = ("user.name", "user.email")
_IDENT = re.compile(rb"(?P<name>[^<\n]+) <(?P<email>[^>\n]+)> [0-9]+ [+-][0-9]{4}\n")
"""An identity as printed by `git var`; it ends with a time."""
_CHOICES = {
    "core.filemode": ("true", "false"),
    "core.ignorecase": ("true", "false"),
    "core.symlinks": ("true", "false"),
    "core.autocrlf": ("true", "false", "input"),
    "core.eol": ("lf", "crlf", "native"),
    "core.sparsecheckout": ("true", "false"),
    "core.sparsecheckoutcone": ("true", "false"),
}
_BOOLEANS = {b"": "false", b"yes": "true", b"on": "true", b"1": "true"}
_BOOLEANS |= {b"no": "false", b"off": "false", b"0": "false"}
_URL = re.compile(
    rb"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?:(?P<user>[^/?#]*)@)?(?P<rest>.*)", re.S
)


async def load_settings(places: Places, config: Mapping[str, bytes]) -> Settings:
    """Return the settings to copy, given the repository's `config` (see `load_config`)."""
    options = await _load_identity(places, config)
    for key, allowed in _CHOICES.items():
        value = _normal(config[key]) if key in config else None
        if value in allowed:
            options[key] = value.encode()
    url = strip_credentials(config.get("remote.origin.url", b""))
    if url:
        options["remote.origin.url"] = url
    sparse = options.get("core.sparsecheckout") == b"true"
    return Settings(
        options=tuple(options.items()),
        exclude=_joined(_side_file(config, "core.excludesfile", "ignore"), places.exclude),
        attributes=_joined(
            _side_file(config, "core.attributesfile", "attributes"), places.attributes
        ),
        sparse_patterns=read_side_file(places.sparse_patterns) if sparse else b"",
    )


async def load_config(places: Places) -> dict[str, bytes]:
    """Return the configuration in effect in the repository: the user's, then its own.

    Keys are as git prints them, with section and variable in lower case. The last of several
    values wins. A key without a value means `true`.
    """
    listed = await host_git(places.top, "config", "--list", "-z")
    config: dict[str, bytes] = {}
    for entry in listed.stdout.split(b"\0")[:-1]:
        key, separator, value = entry.partition(b"\n")
        config[os.fsdecode(key)] = value if separator else b"true"
    return config


async def _load_identity(places: Places, config: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the name and e-mail address that the host's git puts into a commit.

    If the configuration lacks either, git may derive them from the system's configuration, or
    from the account and the host's full name. Git may find none.
    """
    identity = {key: config[key] for key in _IDENTITY if config.get(key)}
    if len(identity) == len(_IDENTITY):
        return identity
    asked = await host_git(places.top, "var", "GIT_AUTHOR_IDENT", ok=(0, 128), system=True)
    known = _IDENT.fullmatch(asked.stdout)
    return {"user.name": known["name"], "user.email": known["email"]} if known else identity


def is_partial_clone(config: Mapping[str, bytes]) -> bool:
    """Tell whether objects may be missing since a remote has promised them."""
    return "extensions.partialclone" in config or any(
        key.startswith("remote.") and key.endswith(".promisor") for key in config
    )


def strip_credentials(untrusted_url: bytes) -> bytes:
    """Return a remote's URL without user names, passwords and tokens; empty if it is a command.

    An ssh URL keeps its user name: it is part of the address (`git@...`), not a secret.
    """
    if b"::" in untrusted_url.split(b"/")[0] or untrusted_url.startswith(b"-"):
        return b""  # a remote helper, such as ext::
    match = _URL.fullmatch(untrusted_url)
    if match is None:
        return untrusted_url  # host:path, or a path
    scheme, user, rest = match["scheme"], match["user"], match["rest"]
    if scheme.lower() not in (b"ssh", b"git+ssh", b"ssh+git"):
        return scheme + b"://" + re.split(rb"[?#]", rest)[0]
    name = (user or b"").partition(b":")[0]
    return scheme + b"://" + (name + b"@" if name else b"") + rest


def render_config(options: Mapping[str, bytes]) -> bytes:
    """Return a git configuration file with these keys (`section.key` or `section.name.key`)."""
    sections: dict[str, list[bytes]] = {}
    for key, value in options.items():
        section, _, variable = key.rpartition(".")
        escaped = value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        escaped = escaped.replace(b"\n", b"\\n").replace(b"\t", b"\\t")
        line = b'\t%s = "%s"\n' % (variable.encode(), escaped)
        sections.setdefault(section, []).append(line)
    return b"".join(_heading(name) + b"".join(lines) for name, lines in sections.items())


def render_identity(settings: Settings) -> str:
    """Return a git configuration file with only the identity; empty if there is none."""
    options = dict(settings.options)
    identity = {key: options[key] for key in _IDENTITY if key in options}
    return os.fsdecode(render_config(identity))


def _heading(section: str) -> bytes:
    kind, dot, name = os.fsencode(section).partition(b".")
    escaped = name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'[%s "%s"]\n' % (kind, escaped) if dot else b"[%s]\n" % kind


def _normal(value: bytes) -> str:
    lower = value.strip().lower()
    return _BOOLEANS.get(lower, lower.decode("ascii", "replace"))


def _side_file(config: Mapping[str, bytes], key: str, default: str) -> Path:
    """Return the path of the user's own ignore or attribute file."""
    if key in config:
        return Path(os.path.expanduser(os.fsdecode(config[key])))
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(base) / "git" / default


def _joined(users: Path, repositorys: Path) -> bytes:
    """Return the lines of both files, the repository's last, since the last match wins."""
    parts = (read_side_file(users), read_side_file(repositorys))
    return b"".join(part if part.endswith(b"\n") else part + b"\n" for part in parts if part)


def read_side_file(path: Path) -> bytes:
    """Return a regular file's content; b"" for other types, large or unreadable files."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    with os.fdopen(fd, "rb") as file:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > SIDE_FILE_BYTES_MAX:
            return b""
        return file.read(SIDE_FILE_BYTES_MAX)
