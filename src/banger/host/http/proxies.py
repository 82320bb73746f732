"""The proxy of a request, from the variables that curl, git and docker use. Pure.

    HTTP_PROXY, HTTPS_PROXY    http://[USER:PASSWORD@]HOST[:PORT], for http and for https URLs
    NO_PROXY                   hosts that are reached directly

NO_PROXY follows the rules of Go's `httpproxy`, and so of docker: an entry is `*`, an address, a
network, or a name that includes its subdomains (`.example.com` matches only the subdomains), each
with or without a port. The host itself is never reached through a proxy. A variable in lower case
is used if the one in upper case is not set.

A proxy's password appears in no message, log or repr (G6).
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from banger.errors import ConfigInvalid

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Proxy:
    """A proxy that speaks plain HTTP itself, as nearly all do; `https` is tunnelled by CONNECT."""

    host: str
    port: int
    variable: str
    """The variable that names the proxy."""
    authorization: str = field(default="", repr=False)
    """The value of a Proxy-Authorization header; empty: none."""

    def __str__(self) -> str:
        return f"The proxy {self.host}:{self.port}"


def find_proxy(target: SplitResult, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for a URL, or None if the URL is reached directly.

    Raises:
        ConfigInvalid: the variable does not name a usable proxy.
    """
    variable, value = _find(f"{target.scheme.upper()}_PROXY", environ)
    if not value or not target.hostname or is_loopback(target.hostname):
        return None
    port = target.port or DEFAULT_PORTS[target.scheme]
    if _is_excepted(target.hostname, port, _find("NO_PROXY", environ)[1]):
        return None
    return _parse_proxy(value, variable)


def render_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the proxy variables as apt reads them: in lower case, and with a scheme."""
    rendered = {}
    for variable in ("HTTP_PROXY", "HTTPS_PROXY"):
        if value := _find(variable, environ)[1]:
            rendered[variable.lower()] = value if "://" in value else f"http://{value}"
    if no_proxy := _find("NO_PROXY", environ)[1]:
        rendered["no_proxy"] = no_proxy
    return rendered


def is_loopback(host: str) -> bool:
    """Tell whether `HOST[:PORT]` is the host itself."""
    name, _ = _split_port(host)
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _find(variable: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the variable's value and its name as set, in upper or lower case."""
    name = variable if environ.get(variable) else variable.lower()
    return name, environ.get(name, "").strip()


def _parse_proxy(untrusted: str, variable: str) -> Proxy:
    """Return the proxy that a variable names; the message never quotes its password."""
    try:
        url = urlsplit(untrusted if "://" in untrusted else f"http://{untrusted}")
        host, port = url.hostname, url.port
    except ValueError:
        raise _not_usable(variable) from None
    if url.scheme != "http":
        raise _not_usable(variable, f", and {url.scheme[:20]} proxies cannot be used")
    if not host or not host.isascii() or not host.isprintable() or " " in host or port == 0:
        raise _not_usable(variable)
    authorization = ""
    if url.username is not None:
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode("utf-8", "replace")).decode()
    return Proxy(host, port or DEFAULT_PORTS["http"], variable, authorization)


def _not_usable(variable: str, reason: str = "") -> ConfigInvalid:
    return ConfigInvalid(
        f"{variable} in the environment is not the http:// URL of a proxy{reason}.",
        hint=f"export {variable}=http://HOST:PORT",
    )


def _is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Tell whether NO_PROXY has an entry for a host."""
    entries = filter(None, (entry.strip().lower() for entry in no_proxy.split(",")))
    return any(_matches(entry, host, port) for entry in entries)


def _matches(entry: str, host: str, port: int) -> bool:
    name, wanted = _split_port(entry)
    if wanted not in ("", str(port)):
        return False
    if name == "*":
        return True
    network, address = _parse_network(name), _parse_network(host)
    if network is None or address is None:
        return _matches_name(name.removeprefix("*"), host)
    return address.network_address in network


def _split_port(text: str) -> tuple[str, str]:
    """Split `HOST[:PORT]`; an address with colons needs brackets before a port."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = text.partition(":") if text.count(":") == 1 else (text, "", "")
    return host, port


def _matches_name(entry: str, host: str) -> bool:
    if entry.startswith("."):
        return len(entry) > 1 and host.endswith(entry)
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))


def _parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Parse a network, or an address as a network of one; None if the text is neither."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
