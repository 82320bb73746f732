"""What the engine knows of its host: probed when first needed, once per daemon
and setting.

A read-only verb never probes (hazard B8); the first create or start does.
"""

from __future__ import annotations

import asyncio

from banger.engine.state.settings import SettingsNow
from banger.errors import HostNotReady
from banger.host.cpu import probe_cpu
from banger.model.vm import Accel
from banger.vmm.acceleration import prove_kvm
from banger.vmm.driver import Driver, DriverKind
from banger.vmm.table import find_driver_kind

Programs = tuple[str, ...]
"""A driver's word and the programs that the settings name for it."""


class HostFacts:
    """Probes with memory."""

    def __init__(self, settings: SettingsNow) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._drivers: dict[Programs, Driver] = {}
        self._accels: dict[tuple[str, Programs], Accel] = {}
        self.cpu = probe_cpu()

    async def driver(self, word: str) -> Driver:
        """Return the driver of this word, for this host's VMM.

        Raises:
            HostNotReady: the VMM is missing or too old.
        """
        async with self._lock:
            kind, programs = self._find(word)
            if programs not in self._drivers:
                self._drivers[programs] = await kind.open(self._settings())
            return self._drivers[programs]

    async def accel(self, word: str) -> Accel:
        """Return how a driver's guests are run here: KVM if it is proven, unless the configuration
        decides.

        Raises:
            HostNotReady: the configuration asks for KVM and it does not work.
        """
        async with self._lock:
            kind, programs = self._find(word)
            wanted = self._settings().accel
            if (wanted, programs) not in self._accels:
                self._accels[wanted, programs] = await self._decide(word, kind, wanted)
            return self._accels[wanted, programs]

    def _find(self, word: str) -> tuple[DriverKind, Programs]:
        kind = find_driver_kind(word)
        return kind, (word, *kind.list_programs(self._settings()))

    async def _decide(self, word: str, kind: DriverKind, wanted: str) -> Accel:
        if wanted == Accel.TCG:
            return _require_accel(word, kind, "The configuration asks for emulated guests.")
        proof = await prove_kvm(kind, self._settings(), self.cpu)
        if wanted == Accel.KVM and not proof.usable:
            raise HostNotReady(
                f"The configuration asks for KVM, which does not work here: {proof.reason}",
                hint="banger doctor",
            )
        return Accel.KVM if proof.usable else _require_accel(word, kind, proof.reason)


def _require_accel(word: str, kind: DriverKind, reason: str) -> Accel:
    """Return that guests are emulated, if a driver can; `reason` is why they are."""
    if Accel.TCG not in kind.accels:
        raise HostNotReady(
            f"The driver {word} runs guests on KVM only. {reason}", hint="banger doctor"
        )
    return Accel.TCG
