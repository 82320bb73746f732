"""Credentials for registries, from where `docker login` leaves them.

Reads `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`, each time: a login holds from the
next pull on. `credHelpers` and `credsStore` name programs `docker-credential-NAME`, which
are asked through `host/programs`. Writes nothing. A secret is in no message, log or repr (G6).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from banger.errors import ConfigInvalid, RegistryDenied
from banger.host import programs
from banger.images.registry.reference import DOCKER_HUB

CONFIG_BYTES_MAX = 1024 * 1024
HELPER_DEADLINE_S = 60.0
"""A helper may ask the person something, such as to unlock a key ring."""
HUB_KEY = "https://index.docker.io/v1/"
"""What Docker Hub is called in the file, and what helpers are asked for."""
TOKEN_USER = "<token>"  # noqa: S105 - the user name by which helpers mark an identity token

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

T = TypeVar("T")


@dataclass(frozen=True)
class Credentials:
    """A user name and a password, or a token that stands for both."""

    user: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)
    """An OAuth2 refresh token, for the token server."""
    registry_token: str = field(default="", repr=False)
    """A bearer token, for the registry itself."""

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        pair = f"{self.user}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()


class _Auth(Struct):
    """An entry as it is written; Docker takes null for what is empty, anywhere in the file."""

    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None


class _DockerConfig(Struct, rename="camel"):
    auths: dict[str, _Auth | None] | None = None
    cred_helpers: dict[str, str | None] | None = None
    creds_store: str | None = None


class _HelperAnswer(Struct, rename="pascal"):
    username: str
    secret: str


async def find_credentials(registry: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return the credentials for a registry, or None.

    Raises:
        ConfigInvalid: Docker's configuration cannot be read.
        RegistryDenied: a credential helper failed, or is not installed.
    """
    path = docker_config_path(environ)
    try:
        config = parse_docker_config(path.read_bytes(), where=str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be read: {error.strerror}.") from error
    helper = (config.cred_helpers or {}).get(registry) or config.creds_store
    if helper:
        server = HUB_KEY if registry == DOCKER_HUB else registry
        found = await _ask_helper(helper, server, environ)
        if found is not None:
            return found
    return _find_auth(config, registry, str(path))


def docker_config_path(environ: Mapping[str, str]) -> Path:
    """Return where Docker keeps its client's configuration."""
    folder = environ.get("DOCKER_CONFIG") or f"{environ.get('HOME', '')}/.docker"
    return Path(folder) / "config.json"


def parse_docker_config(untrusted: bytes, *, where: str) -> _DockerConfig:
    """Return what we need of the file.

    Raises:
        ConfigInvalid: it is not as expected.
    """
    if len(untrusted) > CONFIG_BYTES_MAX:
        raise ConfigInvalid(f"{where} is larger than {CONFIG_BYTES_MAX // 2**20} MiB.")
    return _decode(untrusted, _DockerConfig, where) if untrusted.strip() else _DockerConfig()


def _find_auth(config: _DockerConfig, registry: str, where: str) -> Credentials | None:
    """Return the file's own credentials; keys may be written as URLs."""
    auths = config.auths or {}
    names = (registry, HUB_KEY) if registry == DOCKER_HUB else (registry,)
    auth = next((auths[name] for name in names if name in auths), None)
    if auth is None:
        wanted = "index.docker.io" if registry == DOCKER_HUB else registry
        auth = next((a for key, a in auths.items() if _host_of(key) == wanted), None)
    if auth is None or not any(msgspec.structs.astuple(auth)):
        return None
    user, password = auth.username or "", auth.password or ""
    if auth.auth:
        user, password = _parse_auth(auth.auth, f"{where}: the credentials of {registry}")
    return Credentials(user, password, auth.identitytoken or "", auth.registrytoken or "")


def _host_of(key: str) -> str:
    return re.sub(r"^https?://", "", key).partition("/")[0]


def _parse_auth(untrusted: str, where: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(untrusted, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = ""
    user, colon, password = text.rstrip("\0").partition(":")
    if not colon:
        raise ConfigInvalid(f"{where} are not the base64 of USER:PASSWORD.")
    return user, password


async def _ask_helper(name: str, server: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return what a credential helper has for a server, or None if it has nothing."""
    if not _HELPER.fullmatch(name):
        raise ConfigInvalid(f"{name[:60]!r} is not the name of a credential helper.")
    program = f"docker-credential-{name}"
    if programs.find_tool(program) is None:
        raise RegistryDenied(
            f"Docker's configuration names {program} for {server}, which is not installed."
        )
    # The caller's environment: the program is the user's, and finds its store by variables.
    finished = await programs.run(
        [program, "get"],
        stdin=server.encode(),
        deadline_s=HELPER_DEADLINE_S,
        env=environ,
        ok=range(-64, 256),
        output_limit=CONFIG_BYTES_MAX,
    )
    if finished.status != 0:
        if b"credentials not found" in finished.stdout + finished.stderr:
            return None
        raise RegistryDenied(f"{program} failed for {server} with status {finished.status}.")
    answer = _decode(finished.stdout, _HelperAnswer, f"The answer of {program}")
    if answer.username == TOKEN_USER:
        return Credentials("", "", identity_token=answer.secret)
    return Credentials(answer.username, answer.secret)


def _decode(untrusted: bytes, shape: type[T], where: str) -> T:
    """Decode JSON. No text of the error is passed on: it may quote a secret."""
    try:
        return msgspec.json.decode(untrusted, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ConfigInvalid(f"{where} is not the expected JSON.") from None
