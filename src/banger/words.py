"""The kinds of drivers and networks, by the words that configuration, API and command line take.

A kind is a package of its room, and a row here; nothing else names it. Pure.
"""

from __future__ import annotations

from banger.errors import InvalidRequest

DRIVERS = {"firecracker": "banger.vmm.firecracker", "qemu": "banger.vmm.qemu"}
"""The package of each kind of driver, in the order in which `auto` tries them."""

AUTO = "auto"

NETWORKS = {"user": "banger.network.user", "bridge": "banger.network.bridge"}
"""The package of each kind of network."""

SERVED_NETWORKS = {
    "bridge": "make a bridge that VMs of this user can join, and turn IPv4 forwarding on"
}
"""What the service does that root installs for a network (`setup --WORD`), if it has one."""

NO_NETWORK = "none"


def kind_packages() -> tuple[str, ...]:
    """Return the packages of all kinds of drivers and networks."""
    return (*DRIVERS.values(), *NETWORKS.values())


def network_words() -> tuple[str, ...]:
    """Return what may be asked for as a network, the default first."""
    return (*NETWORKS, NO_NETWORK)


def driver_words() -> tuple[str, ...]:
    """Return what may be asked for as a driver, the default first."""
    return (AUTO, *DRIVERS)


def require_driver(untrusted_word: str) -> str:
    """Return the word of a driver, or `auto`.

    Raises:
        InvalidRequest: there is no such driver.
    """
    if untrusted_word not in driver_words():
        raise InvalidRequest(
            f"There is no driver {untrusted_word!r}; drivers are {', '.join(driver_words())}.",
            hint=f"--driver {AUTO}",
        )
    return untrusted_word


def require_network(untrusted_word: str) -> str:
    """Return the word of a network.

    Raises:
        InvalidRequest: there is no such network.
    """
    if untrusted_word not in network_words():
        raise InvalidRequest(
            f"There is no network {untrusted_word!r}; networks are {', '.join(network_words())}.",
            hint=f"--network {network_words()[0]}",
        )
    return untrusted_word
