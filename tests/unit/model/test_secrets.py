"""Secrets: which are possible, and what a VM has in their place."""

from __future__ import annotations

import pytest

from banger.errors import InvalidRequest
from banger.model.egress import Egress, Profile
from banger.model.secrets import (
    HEADERS,
    HOSTS_MAX,
    PREFIXES,
    VALUE_MAX,
    HeldSecrets,
    allow_hosts,
    make_placeholder,
    parse_secret,
)

VALUE = "the-value"


def test_a_secret_is_kept_as_one_line_for_hosts_and_headers() -> None:
    secret = parse_secret("TOKEN", f"{VALUE}\r\n", ["API.example.", "api.example"], ["X-Key"])
    assert (secret.value, secret.hosts, secret.headers) == (VALUE, ("api.example",), ("x-key",))
    assert parse_secret("TOKEN", VALUE, ["api.example"], []).headers == HEADERS


@pytest.mark.parametrize(
    ("name", "value", "host", "header"),
    [
        ("TO-KEN", VALUE, "api.example", "x-key"),
        ("../TOKEN", VALUE, "api.example", "x-key"),
        ("TOKEN", "", "api.example", "x-key"),
        ("TOKEN", f"{VALUE}\n{VALUE}", "api.example", "x-key"),
        ("TOKEN", f"{VALUE}é", "api.example", "x-key"),
        ("TOKEN", "v" * (VALUE_MAX + 1), "api.example", "x-key"),
        ("TOKEN", VALUE, "*.example", "x-key"),
        ("TOKEN", VALUE, "*", "x-key"),
        ("TOKEN", VALUE, "@github", "x-key"),
        ("TOKEN", VALUE, "api.example:80", "x-key"),
        ("TOKEN", VALUE, "api.example:8000-8001", "x-key"),
        ("TOKEN", VALUE, "api.example:443/udp", "x-key"),
        ("TOKEN", VALUE, "203.0.113.7", "x-key"),
        ("TOKEN", VALUE, "host", "x-key"),
        ("TOKEN", VALUE, "https://api.example/", "x-key"),
        (f"TOKEN={VALUE}", VALUE, "api.example", "x-key"),
        ("TOKEN", VALUE, "api.example", "Host"),
        ("TOKEN", VALUE, "api.example", "content-length"),
        ("TOKEN", VALUE, "api.example", "x key"),
    ],
)
def test_what_could_not_be_sent_is_refused_without_saying_it(
    name: str, value: str, host: str, header: str
) -> None:
    """G6, C7."""
    with pytest.raises(InvalidRequest) as refused:
        parse_secret(name, value, [host], [header])
    assert VALUE not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "name", "port", "expected"),
    [
        ("api.example", "api.example", 443, True),
        ("API.example:443/tcp", "api.example", 443, True),
        ("api.example", "api.example", 8443, False),
        ("api.example:8443", "api.example", 8443, True),
        ("api.example:8443", "api.example", 443, False),
        ("api.example", "v1.api.example", 443, False),
        ("*.api.example", "v1.api.example", 443, True),
        ("*.api.example:8443", "v1.api.example", 8443, True),
        ("*.api.example", "api.example", 443, False),
        ("*.api.example", "a.v1.api.example", 443, False),
        ("*.api.example", "v1.my-api.example", 443, False),
    ],
)
def test_a_secret_is_for_its_hosts_at_their_ports(
    host: str, name: str, port: int, expected: bool
) -> None:
    """G6: a wildcard is one label, as in certificates."""
    secret = parse_secret("TOKEN", VALUE, [host], [])
    assert secret.is_for(name, port) is expected


def test_the_hosts_of_secrets_are_allowed_behind_all_other_rules() -> None:
    """I8: so one that the user denies stays so; a network by name carries so many ports only."""
    secret = parse_secret("TOKEN", VALUE, ["*.api.example:8443", "api.example"], [])
    egress = Egress(profile=Profile.ALLOWLIST, rules=("deny api.example",))
    rules = allow_hosts(egress, [secret, secret]).rules
    assert rules == ("deny api.example", "allow *.api.example:8443", "allow api.example:443")
    many = [
        parse_secret("TOKEN", VALUE, [f"api.example:{port}" for port in range(at, at + 15)], [])
        for at in (1000, 2000, 3000)
    ]
    with pytest.raises(InvalidRequest, match="at most 44 ports, not 45"):
        allow_hosts(egress, many)


def test_the_policy_of_a_vm_without_secrets_stays_as_it_is() -> None:
    egress = Egress(rules=("allow 203.0.113.7",))
    assert allow_hosts(egress, []) is egress


def test_too_many_headers_are_told_as_such() -> None:
    """C7: none of them is wrong."""
    headers = [f"x-{number}" for number in range(HOSTS_MAX + 1)]
    with pytest.raises(InvalidRequest, match="at most 16 headers, not 17"):
        parse_secret("TOKEN", VALUE, ["api.example"], headers)


def test_a_secret_is_not_printed_by_accident() -> None:
    """G6: in a traceback, for one."""
    assert VALUE not in repr(parse_secret("TOKEN", VALUE, ["api.example"], []))


@pytest.mark.parametrize("prefix", ["", *PREFIXES])
def test_a_placeholder_looks_like_the_value_and_says_nothing_of_it(prefix: str) -> None:
    """G6: what a known prefix does not tell, its length, is the same for all values."""
    value = f"{prefix}value-of-some-length{'x' * 30}"
    placeholder = make_placeholder(value, lambda count: bytes(range(count)))
    assert placeholder.startswith(prefix)
    assert "value" not in placeholder
    assert len(placeholder) == (len(value) if prefix else 40)


def test_a_vm_without_secrets_has_no_variables_of_them() -> None:
    assert HeldSecrets().variables == {}
    assert "NODE_EXTRA_CA_CERTS" in HeldSecrets("a", {"TOKEN": "p"}).variables
