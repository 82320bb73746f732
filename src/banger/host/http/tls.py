"""TLS of HTTP connections: the trusted certificates, and a probe whether a server speaks TLS.

Servers are verified with the system's store, or the store that the caller's SSL_CERT_FILE names.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from banger.errors import ConfigInvalid
from banger.host.http.abort import watch
from banger.host.http.failures import explain_failure
from banger.host.http.proxies import DEFAULT_PORTS

PROBE_S = 5.0
"""Deadline of a handshake on loopback."""


def load_trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return a context that verifies servers with the store of an environment.

    Raises:
        ConfigInvalid: a file that the environment names holds no certificates.
    """
    store = ssl.get_default_verify_paths()
    file = environ.get(store.openssl_cafile_env) or store.openssl_cafile
    folder = environ.get(store.openssl_capath_env) or store.openssl_capath
    try:
        return ssl.create_default_context(
            cafile=file if os.path.isfile(file) else None,
            capath=folder if os.path.isdir(folder) else None,
        )
    except OSError as error:
        raise ConfigInvalid(f"{file}, named by SSL_CERT_FILE, contains no certificates.") from error


def speaks_tls(host: str) -> bool:
    """Tell whether `HOST[:PORT]` answers a TLS handshake, with any certificate.

    Raises:
        RegistryUnreachable: no connection is possible.
    """
    target = urlsplit(f"https://{host}")
    address = (target.hostname or "", target.port or DEFAULT_PORTS["https"])
    try:
        with socket.create_connection(address, PROBE_S) as connected:
            watch(connected)
            load_trust({}).wrap_socket(connected, server_hostname=address[0]).close()
    except ssl.SSLCertVerificationError:
        return True
    except (ssl.SSLError, ConnectionResetError, TimeoutError):
        return False
    except OSError as error:
        raise explain_failure(error, host) from error
    return True
