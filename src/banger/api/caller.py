"""Environment variables that a client sends along with a request.

The daemon serves many shells. Settings (`BANGER_*`), Docker's configuration and proxies come from
the shell that sent the request, not from the shell that started the daemon. Pure, and light: the
command line loads this module on every call.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "BANGER_"
NAMES = frozenset(
    {
        "DOCKER_CONFIG",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    }
)


def select_caller(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to send with a request."""
    return {name: value for name, value in environ.items() if is_callers(name)}


def is_callers(name: str) -> bool:
    """Tell whether a variable is taken from the caller."""
    return name in NAMES or name.startswith(PREFIX)


def merge_caller(own: Mapping[str, str], caller: Mapping[str, str]) -> dict[str, str]:
    """Return the daemon's environment with its caller variables replaced by the caller's."""
    kept = {name: value for name, value in own.items() if not is_callers(name)}
    return {**kept, **caller}
