"""Credentials come from Docker's configuration and its helpers, and are in no message (G6)."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import BangerError, ConfigInvalid, RegistryDenied
from banger.images.registry.credentials import (
    Credentials,
    find_credentials,
    parse_docker_config,
)

SECRET = "pass:wörd"
AUTH = base64.b64encode(f"user:{SECRET}".encode()).decode()
FOUND = Credentials("user", SECRET)


def find(folder: Path, document: Any, registry: str = "r.example:5000") -> Credentials | None:
    folder.mkdir(exist_ok=True)
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    (folder / "config.json").write_bytes(content)
    return asyncio.run(find_credentials(registry, {"DOCKER_CONFIG": str(folder)}))


@pytest.mark.parametrize(
    ("registry", "key"),
    [
        ("r.example:5000", "r.example:5000"),
        ("r.example:5000", "https://r.example:5000"),
        ("r.example:5000", "http://r.example:5000/v2/"),
        ("docker.io", "https://index.docker.io/v1/"),
        ("docker.io", "index.docker.io"),
        ("docker.io", "docker.io"),
    ],
)
def test_the_files_own_credentials_are_found(tmp_path: Path, registry: str, key: str) -> None:
    assert find(tmp_path, {"auths": {"x.example": {}, key: {"auth": AUTH}}}, registry) == FOUND


@pytest.mark.parametrize("key", ["r.example", "r.example:50001", "x.r.example:5000", "example"])
def test_another_registrys_are_not(tmp_path: Path, key: str) -> None:
    assert find(tmp_path, {"auths": {key: {"auth": AUTH}}}) is None


def test_other_forms_of_credentials(tmp_path: Path) -> None:
    host = "r.example:5000"
    written_out = {"auths": {host: {"username": "user", "password": SECRET}}}
    assert find(tmp_path, written_out) == FOUND
    tokens = {"auths": {host: {"identitytoken": "i", "registrytoken": "r"}}}
    assert find(tmp_path, tokens) == Credentials("", "", "i", "r")
    assert find(tmp_path, {"auths": {host: {}}}) is None
    assert find(tmp_path, {"HttpHeaders": {"a": "b"}}) is None


def test_no_file_is_no_credentials(tmp_path: Path) -> None:
    assert asyncio.run(find_credentials("x", {"HOME": str(tmp_path)})) is None


NULLS: list[Any] = [
    b"",
    b" \n",
    {"auths": None, "credHelpers": None, "credsStore": ""},
    {"auths": {}, "credHelpers": {"r.example:5000": None}, "credsStore": None},
    {"auths": {"r.example:5000": None}},
    {"auths": {"r.example:5000": dict.fromkeys(("auth", "username", "password"))}},
]


@pytest.mark.parametrize("document", NULLS)
def test_null_and_nothing_are_no_credentials(tmp_path: Path, document: Any) -> None:
    """F6: as Docker takes its file."""
    assert find(tmp_path, document) is None


@pytest.mark.parametrize(
    "document",
    [
        b"[]",
        b"\xff",
        {"auths": []},
        {"auths": {"r.example:5000": {"auth": base64.b64encode(b"no colon, pass").decode()}}},
        {"auths": {"r.example:5000": {"auth": "pass!"}}},
        {"auths": {"r.example:5000": {"auth": 1}}},
        {"credsStore": "../evil"},
        b'{"auths":{"r.example:5000":{"password":"' + SECRET.encode() + b'"',
    ],
)
def test_a_broken_file_is_one_sentence_without_secrets(tmp_path: Path, document: Any) -> None:
    """F6, G6."""
    with pytest.raises(ConfigInvalid) as caught:
        find(tmp_path, document)
    assert "pass" not in str(caught.value).replace(str(tmp_path), "")


@given(st.binary(max_size=100))
def test_any_file_is_read_or_refused(untrusted: bytes) -> None:
    """F6."""
    try:
        parse_docker_config(untrusted, where="f")
    except BangerError:
        return


def install_helper(folder: Path, name: str, script: str) -> None:
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


ANSWER = 'test "$1" = get && read server; printf \'{"Username":"user","Secret":"%s"}\' "$server"'


def test_helpers_are_asked_for_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Per registry before the one for all; the server goes in by stdin (G6)."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    install_helper(tmp_path, "one", ANSWER)
    install_helper(tmp_path, "all", 'echo \'{"Username":"<token>","Secret":"t"}\'')
    document = {"credHelpers": {"r.example:5000": "one"}, "credsStore": "all"}
    assert find(tmp_path, document) == Credentials("user", "r.example:5000")
    assert find(tmp_path, document, "x.example") == Credentials("", "", "t")
    hub = {"credsStore": "one"}
    assert find(tmp_path, hub, "docker.io") == Credentials("user", "https://index.docker.io/v1/")


def test_a_helper_that_has_nothing_leaves_it_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    install_helper(tmp_path, "none", "echo credentials not found in native keychain; exit 1")
    document = {"credsStore": "none", "auths": {"r.example:5000": {"auth": AUTH}}}
    assert find(tmp_path, document) == FOUND


@pytest.mark.parametrize("script", [f"echo {SECRET} >&2; exit 1", f"echo {SECRET}"])
def test_a_helper_that_fails_keeps_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """G6."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    install_helper(tmp_path, "bad", script)
    with pytest.raises((RegistryDenied, ConfigInvalid)) as caught:
        find(tmp_path, {"credsStore": "bad"})
    assert SECRET not in f"{caught.value} {caught.value.details}"


def test_a_helper_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryDenied, match="docker-credential-absent"):
        find(tmp_path, {"credsStore": "absent"})


def test_a_secret_is_in_no_repr() -> None:
    """G6."""
    assert "secret" not in repr(Credentials("user", "secret", "secret", "secret"))
