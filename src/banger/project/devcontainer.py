"""`devcontainer.json`: the parts that a VM can have, and those that are left out. Pure.

The format is that of containers.dev: JSON with comments and commas at ends. Where a repository has
no `banger.toml` it says the same things: image, ports, variables, the workspace's path, and
commands that run when the repository has been put in. What is built, mounted or installed for a
container is left out, and told. `${localEnv:...}` would read variables of this host: it is never
followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from banger.errors import ConfigInvalid
from banger.model.setup import is_command, is_plain_path
from banger.project.file import ENTRIES_MAX, PORTS, SHELL, Port, Project, parse_env, parse_name

V = TypeVar("V")

HOME = "/root"
"""Where workspaces are, unless the file says another place."""

_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_LAST_COMMA = re.compile(r'"(?:[^"\\\n]|\\.)*"|,(?=\s*[}\]])')
_SUBSTITUTE = re.compile(r"\$\{([^}]*)\}")
_IGNORED = frozenset(
    "$schema name customizations portsAttributes otherPortsAttributes shutdownAction waitFor "
    "overrideCommand updateRemoteUserUID userEnvProbe".split()
)
"""What says nothing of the machine."""
_FOLLOWED = frozenset(
    "image forwardPorts containerEnv remoteEnv workspaceFolder remoteUser containerUser "
    "postCreateCommand onCreateCommand updateContentCommand postStartCommand".split()
)
_ON_CREATE = ("onCreateCommand", "updateContentCommand", "postCreateCommand")
"""In the order in which they run."""


def parse_devcontainer(untrusted_text: str, where: str, *, repository: str) -> Project:
    """Return what the text asks for; `left_out` has a sentence for each thing that cannot be had.

    `repository`: the name of its directory, for variables in values.

    Raises:
        ConfigInvalid: it is not a devcontainer.json; names `where` and the key.
    """
    document = _load(untrusted_text, where)
    reader = _Reader(document, where, repository)
    ports = reader.ports()
    env = reader.env("containerEnv") | reader.env("remoteEnv")
    return Project(
        image=reader.name("image"),
        ports=ports,
        env=env,
        guest_path=reader.guest_path,
        on_create=tuple(c for key in _ON_CREATE for c in reader.commands(key)),
        on_start=tuple(reader.commands("postStartCommand")),
        left_out=tuple(reader.left_out()),
    )


def _load(untrusted_text: str, where: str) -> dict[str, Any]:
    plain = _COMMENT.sub(_keep_texts, untrusted_text)
    try:
        document = json.loads(_LAST_COMMA.sub(_keep_texts, plain))
    except (ValueError, RecursionError) as error:
        raise ConfigInvalid(f"{where} is not valid JSON: {error}.") from error
    if not isinstance(document, dict):
        raise ConfigInvalid(f"{where} is not a JSON object.")
    return document


def _keep_texts(found: re.Match[str]) -> str:
    """Return a text as it is, and lines in the place of a comment, so that their numbers stay."""
    return found[0] if found[0].startswith('"') else "\n" * found[0].count("\n")


class _Reader:
    """Takes the values of a document one by one, and notes what is left out."""

    def __init__(self, document: Mapping[str, Any], where: str, repository: str) -> None:
        self._document = document
        self._where = where
        self._notes: list[str] = []
        folder = self._text("workspaceFolder")
        self._variables = {"localWorkspaceFolderBasename": repository}
        self.guest_path = None if folder is None else self._path(self._fill(folder))
        place = self.guest_path or f"{HOME}/{repository}"
        self._variables |= {
            "containerWorkspaceFolder": place,
            "containerWorkspaceFolderBasename": place.rpartition("/")[2],
        }

    def name(self, key: str) -> str | None:
        value = self._text(key)
        return None if value is None else self._parsed(key, parse_name, value)

    def ports(self) -> tuple[Port, ...]:
        value = self._document.get("forwardPorts", [])
        if not isinstance(value, list) or len(value) > ENTRIES_MAX:
            raise self._wrong("forwardPorts", "a list of ports")
        ports: dict[int, Port] = {}
        for each in value:
            if type(each) is int and each in PORTS:
                ports[each] = Port(guest=each)
            else:
                self._notes.append(
                    f"forwardPorts {each!r:.60} is left out: it is not a port of a VM."
                )
        return tuple(ports.values())

    def env(self, key: str) -> dict[str, str]:
        value = self._document.get(key, {})
        if not isinstance(value, dict):
            raise self._wrong(key, "a table of variables")
        filled = {name: self._fill_value(key, name, text) for name, text in value.items()}
        known = {name: text for name, text in filled.items() if text is not None}
        return self._parsed(key, parse_env, known)

    def commands(self, key: str) -> Iterator[tuple[str, ...]]:
        """Yield the commands of a key: a text for a shell, a list of words, or several of them."""
        value = self._document.get(key)
        several = list(value.values()) if isinstance(value, dict) else [value]
        if len(several) > ENTRIES_MAX:
            raise self._wrong(key, f"at most {ENTRIES_MAX} commands")
        for each in several:
            if each in (None, "", []):
                continue
            words = each if isinstance(each, list) else [*SHELL, each]
            if not all(isinstance(w, str) and "\0" not in w for w in words):
                raise self._wrong(key, "a command: a text or a list of texts")
            if not is_command(" ".join(words)):
                raise self._wrong(key, "a command that a shell can run")
            yield tuple(self._fill(word) for word in words)

    def left_out(self) -> Iterator[str]:
        """Yield a sentence for each thing that is not followed."""
        yield from self._notes
        for key in self._document:
            if key not in _IGNORED | _FOLLOWED:
                yield f"{key!r:.60} is left out: it is not for a VM."
        for key in ("remoteUser", "containerUser"):
            user = self._document.get(key)
            if user not in (None, "root"):
                yield f"{key} {user!r:.60} is left out: a workspace belongs to root."

    def _text(self, key: str) -> str | None:
        value = self._document.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "a text")
        return value

    def _path(self, path: str) -> str:
        normal = path.rstrip("/")
        if not normal.startswith("/") or not is_plain_path(normal[1:]):
            raise self._wrong("workspaceFolder", "an absolute path")
        return normal

    def _fill_value(self, key: str, name: str, untrusted_text: object) -> str | None:
        """Return a variable's value; None if it would be one of this host's."""
        if not isinstance(untrusted_text, str):
            return None  # null unsets what a container has; there is nothing to unset
        filled = self._fill(untrusted_text)
        if _SUBSTITUTE.search(filled):
            self._notes.append(f"{key}.{name:.60} is left out: its value is not known here.")
            return None
        return filled

    def _fill(self, text: str) -> str:
        return _SUBSTITUTE.sub(lambda m: self._variables.get(m[1].strip(), m[0]), text)

    def _parsed(self, key: str, parse: Callable[[object], V], value: object) -> V:
        try:
            return parse(value)
        except ValueError as error:
            raise self._wrong(key, str(error)) from None

    def _wrong(self, key: str, expected: str) -> ConfigInvalid:
        shown = f"{self._document.get(key)!r:.100}"
        return ConfigInvalid(f"{self._where}: {key} is {shown}, expected {expected}.")
