"""Errors of connections to servers and proxies, each as a sentence. Pure."""

from __future__ import annotations

import re
import ssl
from http import HTTPStatus

from banger.errors import BangerError, RegistryMisbehaved, RegistryUnreachable
from banger.host.http.proxies import Proxy

_REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b")
"""The message of Python's http.client, and so of urllib3, when a proxy refuses CONNECT."""


def explain_failure(error: Exception | None, host: str) -> BangerError:
    """Return banger's error for a socket, TLS or HTTP exception during a request to `host`."""
    import http.client  # 1.5 MiB of a daemon that may never need it

    match error:
        case ssl.SSLCertVerificationError():
            return RegistryUnreachable(
                f"The certificate of {host} is not accepted: {error.verify_message}."
            )
        case ssl.SSLError():
            return RegistryUnreachable(
                f"The TLS handshake with {host} failed: {error.reason or error}.",
                hint="--insecure (if it speaks plain HTTP)",
            )
        case TimeoutError():
            return RegistryUnreachable(f"{host} does not answer.", retryable=True)
        case http.client.IncompleteRead() | http.client.RemoteDisconnected():
            return RegistryUnreachable(f"{host} closed the connection.", retryable=True)
        case OSError():
            return RegistryUnreachable(
                f"{host} cannot be reached: {error.strerror or error}.", retryable=True
            )
    return RegistryMisbehaved(f"{host} does not speak HTTP: {type(error).__name__}.")


def explain_proxy_failure(error: Exception | None, proxy: Proxy, host: str) -> BangerError:
    """Return the error for a proxy that does not connect to `host`."""
    refusal = _REFUSED_TUNNEL.match(str(error))
    if refusal is None:
        return explain_failure(error, str(proxy))
    status = int(refusal[1])
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return refuse_credentials(proxy)
    return RegistryUnreachable(
        f"{proxy} ({proxy.variable}) does not connect to {host}: {status}.",
        retryable=status >= 500 or status in (408, 429),
    )


def refuse_credentials(proxy: Proxy) -> RegistryUnreachable:
    """Return the error for a proxy that answers 407."""
    what = (
        "does not accept the user name and password" if proxy.authorization else "wants credentials"
    )
    return RegistryUnreachable(
        f"{proxy} ({proxy.variable}) {what}.",
        hint=f"export {proxy.variable}=http://USER:PASSWORD@{proxy.host}:{proxy.port}",
    )
