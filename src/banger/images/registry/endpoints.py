"""The endpoints of a reference: mirrors first, then the registry itself.

The configuration says which registries speak plain HTTP. One on loopback that it says nothing of
may speak either, as Docker has it: a handshake tells.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from concurrent.futures import Executor

from banger.errors import RegistryUnreachable
from banger.host.http.abort import in_thread
from banger.host.http.proxies import is_loopback
from banger.host.http.tls import speaks_tls
from banger.images.registry.reference import DOCKER_HUB, DOCKER_HUB_API, Reference
from banger.images.registry.repository_client import Endpoint
from banger.model.registries import Registries

log = logging.getLogger(__name__)


async def find_endpoints(
    reference: Reference, registries: Registries, *, insecure: bool, threads: Executor
) -> list[Endpoint]:
    """Return the endpoints of a reference, in the order to try them.

    `insecure`: the registry itself speaks plain HTTP; mirrors are not meant.

    Raises:
        RegistryUnreachable: a registry on loopback cannot be reached.
    """
    endpoints = []
    for host, path in _list_hosts(reference, registries):
        is_plain = registries.find(host).insecure
        if insecure and host == reference.registry:
            is_plain = True
        if is_plain is None and is_loopback(host):
            try:
                is_plain = not await in_thread(threads, functools.partial(speaks_tls, host))
            except RegistryUnreachable as error:
                if host == reference.registry:
                    raise
                log.warning("a mirror of %s is left out: %s", reference.registry, error)
                continue
        address = DOCKER_HUB_API if host == DOCKER_HUB else host
        endpoints.append(
            Endpoint(
                registry=host,
                base=f"{'http' if is_plain else 'https'}://{address}",
                repository=f"{path}{reference.repository}",
            )
        )
    return endpoints


def _list_hosts(reference: Reference, registries: Registries) -> Iterator[tuple[str, str]]:
    """Yield each host and the path in front of the repository there."""
    for mirror in registries.find(reference.registry).mirrors:
        host, _, path = mirror.partition("/")
        yield host, f"{path.strip('/')}/" if path.strip("/") else ""
    yield reference.registry, ""
