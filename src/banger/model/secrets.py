"""Secrets: values that requests of VMs carry, and that no VM has. Pure.

A VM has a placeholder for each of its secrets: a random text of its own. The egress proxy puts the
value in its place in the headers that the secret is for, of requests to the hosts that it is for
(ADR 0100).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from string import ascii_letters, digits

from msgspec import Struct, field, structs

from banger.errors import InvalidRequest
from banger.model.egress import Egress, parse_rule, require_ports

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""A secret is called as the variable is that has its placeholder."""
HEADER = re.compile(r"[a-z0-9-]{1,64}")
HEADERS = ("authorization", "x-api-key")
"""Of a secret that names none."""
FRAMING = frozenset(("connection", "content-length", "host", "transfer-encoding", "upgrade"))
VALUE_MAX, HOSTS_MAX, SECRETS_MAX = 4096, 16, 8
"""The last of one VM: what its proxy is told of them is one message."""
PORT, HTTP_PORT = 443, 80
"""Of a host that names none; and the one where no TLS is."""
_WIDE = re.compile(r"\*\.[^.]*")
"""Matches a wildcard for a whole top-level domain."""
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
    """`NAME[:PORT]`, in lower case; a name may begin with `*.`."""
    headers: tuple[str, ...] = HEADERS
    """In lower case."""

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    def is_for(self, name: str, port: int) -> bool:
        """Tell whether requests to a host carry it; `*` is one label, as in certificates."""
        return any(_format_host(each, port) in self.hosts for each in list_patterns(name))


def list_patterns(name: str) -> tuple[str, str]:
    """Return what a host's name matches: itself, and the wildcard of all names beside it."""
    return name, f"*.{name.partition('.')[2]}"


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
    hosts = [host.lower().removesuffix(".") for host in untrusted_hosts]
    if not 0 < len(hosts) <= HOSTS_MAX:
        raise InvalidRequest(f"A secret needs 1 to {HOSTS_MAX} hosts.", hint="--host example.org")
    return tuple(dict.fromkeys(map(_parse_host, hosts)))


def _parse_host(untrusted_host: str) -> str:
    """Return the host of a target as of egress rules."""
    with contextlib.suppress(InvalidRequest):
        rule = parse_rule(_allow_host(untrusted_host))
        if rule.name and rule.first == rule.last != HTTP_PORT and not _WIDE.fullmatch(rule.name):
            return _format_host(rule.name, rule.first)
    raise InvalidRequest(
        f"{untrusted_host!r:.100} is not a host of HTTPS: expected NAME[:PORT], or *. before a "
        "domain such as example.org.",
        hint="--host example.org",
    )


def _format_host(name: str, port: int) -> str:
    return name if port == PORT else f"{name}:{port}"


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


def allow_hosts(egress: Egress, secrets: Iterable[Secret]) -> Egress:
    """Return a policy that allows the hosts of secrets, too, behind its own rules.

    Raises:
        InvalidRequest: a network by name cannot carry so many ports.
    """
    hosts = sorted({_allow_host(host) for each in secrets for host in each.hosts})
    if not hosts:
        return egress
    allowing = structs.replace(egress, rules=(*egress.rules, *hosts))
    require_ports(map(parse_rule, allowing.rules))
    return allowing


def list_names(secrets: Iterable[Secret]) -> frozenset[str]:
    """Return the names of the hosts of secrets, without their ports."""
    return frozenset(host.partition(":")[0] for each in secrets for host in each.hosts)


def _allow_host(host: str) -> str:
    return f"allow {host}" if ":" in host else f"allow {host}:{PORT}"


def make_placeholder(value: str, random_bytes: Callable[[int], bytes]) -> str:
    """Return a text that looks as a value does to clients that look at it, and says nothing of it.

    Known prefixes stay, with their length.
    """
    prefix = next((each for each in PREFIXES if value.startswith(each)), "")
    length = max(len(value) - len(prefix), RANDOM_LENGTH) if prefix else RANDOM_LENGTH
    characters = ascii_letters + digits
    # The first 8 characters come a quarter more often: of no matter for 40 of them.
    return prefix + "".join(characters[byte % len(characters)] for byte in random_bytes(length))
