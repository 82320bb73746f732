"""Secrets: values that requests of VMs carry, and that no VM has. Pure.

A VM has a placeholder for each of its secrets: a random text of its own. The egress proxy puts the
value in its place in the headers that the secret is for, of requests to the hosts that it is for
(ADR 0100).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from string import ascii_letters, digits

from msgspec import Struct, field

from banger.errors import InvalidRequest
from banger.model.egress import parse_rule

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""A secret is called as the variable is that has its placeholder."""
HEADER = re.compile(r"[a-z0-9-]{1,64}")
HEADERS = ("authorization", "x-api-key")
"""Of a secret that names none."""
FRAMING = frozenset(("connection", "content-length", "host", "transfer-encoding", "upgrade"))
VALUE_MAX, HOSTS_MAX, SECRETS_MAX = 4096, 16, 8
"""The last of one VM: what its proxy is told of them is one message."""
PORT = 443
RANDOM_LENGTH = 40
PREFIXES = (
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "npm_", "pypi-", "hf_"),
    *("sk-ant-api03-", "sk-ant-", "sk-proj-", "sk-", "xoxb-", "xoxp-", "AIza", "dop_v1_"),
)
"""What tokens of public services begin with, and clients may look at."""

BUNDLE = "/etc/banger/ca-bundle.crt"
"""The guest's certificates, with that of its own authority among them."""
BUNDLE_VARIABLES = (
    *("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO"),
    *("NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "DENO_CERT"),
)
"""By which programs that have certificates of their own are told of the guest's."""


class Secret(Struct, frozen=True, kw_only=True):
    """A secret as it is kept on the host."""

    name: str
    value: str
    hosts: tuple[str, ...]
    headers: tuple[str, ...] = HEADERS
    """In lower case."""

    def __repr__(self) -> str:
        return f"Secret({self.name})"


class BoundSecret(Struct, frozen=True, kw_only=True):
    """What the egress proxy of a VM knows of one of its secrets."""

    secret: Secret
    placeholder: str


class HeldSecrets(Struct, frozen=True):
    """What a VM has of its secrets; nothing of it is secret."""

    authority: str = ""
    """Names the certificate authority that the guest trusts, which forks have in common."""
    placeholders: dict[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """The guest's environment of them, before what its image and its user set."""
        return dict.fromkeys(BUNDLE_VARIABLES, BUNDLE) if self.placeholders else {}


def parse_secret(
    name: str, untrusted_value: str, hosts: Iterable[str], headers: Iterable[str]
) -> Secret:
    """Return a valid secret.

    Raises:
        InvalidRequest: the name, the value, a host or a header is not possible; does not say the
            value.
    """
    parse_secret_name(name)
    value = untrusted_value.removesuffix("\n").removesuffix("\r")
    if not 0 < len(value) <= VALUE_MAX or not value.isascii() or not value.isprintable():
        raise InvalidRequest(
            f"The value of {name} is not one line of 1 to {VALUE_MAX} readable ASCII characters."
        )
    return Secret(
        name=name,
        value=value,
        hosts=_parse_hosts(hosts),
        headers=_parse_headers(headers) or HEADERS,
    )


def parse_secret_name(untrusted_name: str) -> str:
    """Return the name of a secret.

    Raises:
        InvalidRequest: it is none.
    """
    name, equals, _ = untrusted_name.partition("=")
    if equals and NAME.fullmatch(name):
        raise InvalidRequest(
            f"The value of {name} is read from stdin: other users can see command lines.",
            hint=f"banger secret set {name} --host HOST",
        )
    if not NAME.fullmatch(untrusted_name):
        raise InvalidRequest(
            f"{untrusted_name!r:.100} is not the name of a secret: use letters, digits and "
            "_, as in the name of a variable."
        )
    return untrusted_name


def _parse_hosts(untrusted_hosts: Iterable[str]) -> tuple[str, ...]:
    hosts = tuple(dict.fromkeys(host.lower().removesuffix(".") for host in untrusted_hosts))
    if not 0 < len(hosts) <= HOSTS_MAX:
        raise InvalidRequest(f"A secret needs 1 to {HOSTS_MAX} hosts.", hint="--host example.org")
    for host in hosts:
        if not _is_host(host):
            raise InvalidRequest(
                f"{host!r:.100} is not the name of a host.", hint="--host example.org"
            )
    return hosts


def _is_host(untrusted_host: str) -> bool:
    try:
        return "*" not in untrusted_host and parse_rule(allow_host(untrusted_host)).name == (
            untrusted_host
        )
    except InvalidRequest:
        return False


def _parse_headers(untrusted_headers: Iterable[str]) -> tuple[str, ...]:
    headers = tuple(dict.fromkeys(header.lower() for header in untrusted_headers))
    if len(headers) > HOSTS_MAX:
        raise InvalidRequest(f"A secret is for at most {HOSTS_MAX} headers, not {len(headers)}.")
    for header in headers:
        if not HEADER.fullmatch(header) or header in FRAMING:
            raise InvalidRequest(
                f"{header!r:.100} is not a header that can carry a secret.",
                hint="--header Authorization",
            )
    return headers


def allow_host(host: str) -> str:
    """Return the egress rule by which a host is reached that a secret is for."""
    return f"allow {host}:{PORT}"


def make_placeholder(value: str, random_bytes: Callable[[int], bytes]) -> str:
    """Return a text that looks as a value does to clients that look at it, and says nothing of it.

    Known prefixes stay, with their length.
    """
    prefix = next((each for each in PREFIXES if value.startswith(each)), "")
    length = max(len(value) - len(prefix), RANDOM_LENGTH) if prefix else RANDOM_LENGTH
    characters = ascii_letters + digits
    # The first 8 characters come a quarter more often: of no matter for 40 of them.
    return prefix + "".join(characters[byte % len(characters)] for byte in random_bytes(length))
