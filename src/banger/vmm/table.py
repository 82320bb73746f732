"""The drivers by their words, loaded on first use."""

from __future__ import annotations

import importlib

from banger.errors import HostNotReady, NotSupported
from banger.model.artifacts import KernelForm
from banger.model.vm import Accel
from banger.vmm.driver import Capability, DriverKind
from banger.words import DRIVERS, NO_NETWORK


def find_driver_kind(word: str) -> DriverKind:
    """Return the kind of driver of this word.

    Raises:
        HostNotReady: the word is of another release.
    """
    if word not in DRIVERS:
        raise HostNotReady(
            f"This release of banger has no driver {word!r}.", hint="pipx upgrade banger"
        )
    kind: DriverKind = importlib.import_module(f"{DRIVERS[word]}.kind").DRIVER
    return kind


def find_kernel_obstacle(form: KernelForm) -> str | None:
    """Return in one sentence why no driver boots such a kernel, or None if there is one."""
    obstacles = [find_driver_kind(word).find_kernel_obstacle(form) for word in DRIVERS]
    return None if None in obstacles else obstacles[0]


def require_capability(word: str, capability: Capability) -> None:
    """Check that the driver of this word can do something.

    Raises:
        NotSupported: it cannot; the hint has a driver that can.
    """
    if capability in find_driver_kind(word).capabilities:
        return
    able = [other for other in DRIVERS if capability in find_driver_kind(other).capabilities]
    anywhere = [other for other in able if Accel.TCG in find_driver_kind(other).accels]
    raise NotSupported(
        f"The driver {word} cannot {capability}.",
        hint=f"banger vm create --driver {(anywhere or able)[0]}" if able else None,
    )


def runs_shape(word: str, *, vcpu: int, network: str) -> bool:
    """Tell whether the driver of this word runs VMs of a shape."""
    try:
        require_shape(word, vcpu=vcpu, network=network)
    except NotSupported:
        return False
    return True


def require_shape(word: str, *, vcpu: int, network: str) -> None:
    """Check that the driver of this word runs VMs of a shape.

    Raises:
        NotSupported: it does not; the hint has a driver that does.
    """
    if network != NO_NETWORK:
        require_capability(word, Capability.NETWORK)
    most = find_driver_kind(word).vcpu_max
    if vcpu > most:
        raise NotSupported(
            f"The driver {word} supports at most {most} vcpu, not {vcpu}.",
            hint=f"banger vm create --vcpu {most}",
        )
