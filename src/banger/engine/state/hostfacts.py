"""Facts about the host: probed when first needed, once per daemon and setting.

A read-only verb never probes (hazard B8); the first create or start does.
"""

from __future__ import annotations

import asyncio
import functools

from banger.engine.state.settings import SettingsNow
from banger.errors import HostNotReady
from banger.host.attachments import AttachmentKind
from banger.host.cpu import KvmVerdict, probe_cpu
from banger.model.vm import Accel
from banger.vmm.acceleration import choose_driver, prove_kvm
from banger.vmm.driver import Driver, DriverKind
from banger.vmm.table import find_driver_kind, runs_shape
from banger.vmm.tap import can_make_tap
from banger.words import NO_NETWORK

Programs = tuple[str, ...]
"""A driver's word and the programs that the settings name for it."""


class HostFacts:
    """Probes with memory."""

    def __init__(self, settings: SettingsNow) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._drivers: dict[Programs, Driver] = {}
        self._proofs: dict[Programs, KvmVerdict] = {}
        self._taps: bool | None = None
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

    async def choose(self, word: str, *, vcpu: int, network: str) -> str:
        """Return the driver that a word means here, for VMs of a shape."""
        return await choose_driver(
            word,
            self._settings(),
            fits=functools.partial(runs_shape, vcpu=vcpu, network=network),
            is_usable=functools.partial(self._is_usable, network=network),
        )

    async def _is_usable(self, word: str, *, network: str) -> bool:
        try:
            has_kvm = await self.accel(word) is Accel.KVM
        except HostNotReady:
            return False
        takes_tap = find_driver_kind(word).attachment is AttachmentKind.TAP
        return has_kvm and (network == NO_NETWORK or not takes_tap or await self._has_taps())

    async def _has_taps(self) -> bool:
        async with self._lock:
            if self._taps is None:
                self._taps = await can_make_tap()
            return self._taps

    async def accel(self, word: str) -> Accel:
        """Return how a driver's guests are run here: KVM if it is proven, unless the configuration
        decides.

        Raises:
            HostNotReady: the configuration asks for KVM and it does not work.
        """
        async with self._lock:
            wanted = self._settings().accel
            if wanted == Accel.TCG:
                return _require_accel(word, "The configuration asks for emulated guests.")
            proof = await self._prove(word)
            if wanted == Accel.KVM and not proof.usable:
                raise HostNotReady(
                    f"The configuration asks for KVM, which does not work here: {proof.reason}",
                    hint="banger doctor",
                )
            return Accel.KVM if proof.usable else _require_accel(word, proof.reason)

    async def _prove(self, word: str) -> KvmVerdict:
        kind, programs = self._find(word)
        if programs not in self._proofs:
            self._proofs[programs] = await prove_kvm(kind, self._settings(), self.cpu)
        return self._proofs[programs]

    def _find(self, word: str) -> tuple[DriverKind, Programs]:
        kind = find_driver_kind(word)
        return kind, (word, *kind.list_programs(self._settings()))


def _require_accel(word: str, reason: str) -> Accel:
    """Return that guests are emulated, if a driver can; `reason` is why they are."""
    if Accel.TCG not in find_driver_kind(word).accels:
        raise HostNotReady(
            f"The driver {word} runs guests on KVM only. {reason}", hint="banger doctor"
        )
    return Accel.TCG
