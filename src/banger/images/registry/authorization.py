"""Answering a registry's challenge: a bearer token from its token server, or Basic.

Docker's token specification: the registry names a realm, a service and a scope; the realm is asked
with the credentials that the user has for the registry, if any, and gives a token. With an identity
token (OAuth2) it is asked by POST.

The realm may be another host, as Docker Hub's is: who may send us there is the registry that the
credentials are for, over a connection that was verified. What it may not do is name a
realm without TLS when it has TLS itself.
"""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from banger.errors import RegistryDenied, RegistryMisbehaved
from banger.host.http.client import Client
from banger.images.registry.challenge import Challenge, choose_challenge, parse_challenges
from banger.images.registry.credentials import Credentials
from banger.images.registry.responses import Missing, Unauthorized, require_success

TOKEN_BYTES_MAX = 256 * 1024
CLIENT_ID = "banger"


class _Token(Struct):
    token: str = ""
    access_token: str = ""


def authorize(
    untrusted_headers: list[str],
    *,
    registry: str,
    scheme: str,
    repository: str,
    credentials: Credentials | None,
    client: Client,
) -> str:
    """Return the value of the Authorization header that a registry wants. In a thread.

    Raises:
        RegistryDenied: it wants credentials that we have not, or refuses those that we have.
        RegistryMisbehaved: it says so in a way that makes no sense.
    """
    challenge = choose_challenge(parse_challenges(untrusted_headers))
    if challenge is None:
        raise RegistryMisbehaved(f"{registry} does not say how to authenticate.")
    if challenge.scheme == "basic":
        if credentials is None or not credentials.user:
            raise deny(registry, credentials)
        return credentials.basic
    if credentials is not None and credentials.registry_token:
        return f"Bearer {credentials.registry_token}"
    url, body = _plan_token_request(challenge, registry, scheme, repository, credentials)
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    if credentials is not None and credentials.user and not body:
        headers["Authorization"] = credentials.basic
    try:
        with client.open(url, headers=headers, body=body) as answer:
            require_success(answer, 200)
            untrusted = answer.read_whole(TOKEN_BYTES_MAX)
    except (Unauthorized, Missing) as error:
        raise deny(registry, credentials) from error
    return f"Bearer {_parse_token(untrusted, registry)}"


def deny(registry: str, credentials: Credentials | None) -> RegistryDenied:
    """Return the error for a registry that does not let us in."""
    what = "refuses the stored credentials" if credentials else "wants credentials"
    return RegistryDenied(
        f"{registry} {what}, or there is no such image.", hint=f"docker login {registry}"
    )


def _plan_token_request(
    challenge: Challenge,
    registry: str,
    scheme: str,
    repository: str,
    credentials: Credentials | None,
) -> tuple[str, bytes | None]:
    """Return the address to ask, and the form to send to it if it is not to be a GET. Pure."""
    realm = challenge.parameters.get("realm", "")
    parts = urlsplit(realm)
    if parts.scheme not in ("http", "https") or (scheme == "https" and parts.scheme != "https"):
        raise RegistryMisbehaved(f"{registry} names a token server that is not acceptable.")
    fields = {
        "service": challenge.parameters.get("service", ""),
        # What we need, and not what it says: a token is for reading one repository.
        "scope": f"repository:{repository}:pull",
    }
    if credentials is not None and credentials.identity_token:
        form = {
            "grant_type": "refresh_token",
            "client_id": CLIENT_ID,
            "refresh_token": credentials.identity_token,
            **fields,
        }
        return realm, urlencode(form).encode()
    return f"{realm}{'&' if parts.query else '?'}{urlencode(fields)}", None


def _parse_token(untrusted: bytes, registry: str) -> str:
    try:
        answer = msgspec.json.decode(untrusted, type=_Token)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        answer = _Token()
    token = answer.token or answer.access_token
    # It becomes a header of ours.
    if not token or not token.isascii() or not token.isprintable():
        raise RegistryMisbehaved(f"The token server of {registry} sent no token.")
    return token
