"""What `banger doctor` says about running guests: on hardware or emulated, and how to do better.

Starts guests of a few instructions; changes nothing.
"""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
from collections.abc import Iterator

from banger.doctor.programs import Check, CheckState
from banger.host.attachments import AttachmentKind
from banger.host.cpu import KVM_DEVICE, probe_cpu
from banger.host.programs import find_tool
from banger.model.vm import Accel
from banger.settings import Settings
from banger.vmm.acceleration import choose_driver, prove_kvm
from banger.vmm.table import find_driver_kind, runs_shape
from banger.vmm.tap import can_make_tap
from banger.words import NO_NETWORK

NAME = "accel"
UPGRADE = "emulator"
"""The check that names a newer VMM; only there if the distribution has one."""


def probe_acceleration(settings: Settings) -> Iterator[Check]:
    """Yield how guests are run: on hardware, proven by a guest, or emulated, and why.

    If they are emulated, a second check names the newer VMM that the distribution has.
    """
    word = asyncio.run(find_default_driver(settings))
    kind = find_driver_kind(word)
    lacking = [name for name in kind.list_programs(settings) if find_tool(name) is None]
    if lacking:
        yield Check(NAME, CheckState.FAIL, f"Guests cannot be tested without {lacking[0]}.")
        return
    accel, check = asyncio.run(_try_guests(word, settings))
    yield check
    if accel is Accel.TCG and (upgrade := asyncio.run(kind.find_upgrade(settings))):
        yield Check(UPGRADE, CheckState.OK, upgrade.fact, upgrade.command)


async def find_default_driver(settings: Settings) -> str:
    """Return the driver of a VM for which nothing is asked."""

    async def is_usable(word: str) -> bool:
        kind = find_driver_kind(word)
        verdict = await prove_kvm(kind, settings, probe_cpu())
        takes_tap = kind.attachment is AttachmentKind.TAP and settings.network != NO_NETWORK
        has_kvm = verdict.usable and settings.accel != Accel.TCG
        return has_kvm and (not takes_tap or await can_make_tap())

    fits = functools.partial(runs_shape, vcpu=settings.vm_defaults.vcpu, network=settings.network)
    return await choose_driver(settings.driver, settings, fits=fits, is_usable=is_usable)


async def _try_guests(word: str, settings: Settings) -> tuple[Accel | None, Check]:
    """Run a guest; None: no guest runs as the configuration wants."""
    kind, wanted = find_driver_kind(word), settings.accel
    verdict = await prove_kvm(kind, settings, probe_cpu())
    if verdict.usable and wanted != "tcg":
        return Accel.KVM, Check(
            NAME, CheckState.OK, f"Guests run on KVM, by {word}. {verdict.reason}"
        )
    if wanted == "kvm":
        fact = f"The configuration requires KVM. {verdict.reason}"
        return None, Check(NAME, CheckState.FAIL, fact, _kvm_hint())
    if Accel.TCG not in kind.accels:
        reason = (
            "The configuration asks for emulated guests." if wanted == "tcg" else verdict.reason
        )
        fact = f"The driver {word} runs guests on KVM only. {reason}"
        return None, Check(NAME, CheckState.FAIL, fact, _kvm_hint())
    failure = await kind.find_proof_failure(settings, Accel.TCG)
    if failure is not None:
        return None, Check(NAME, CheckState.FAIL, failure)
    if wanted == "tcg":
        fact = "Guests are emulated, as configured."
        return Accel.TCG, Check(NAME, CheckState.OK, fact)
    fact = f"Guests are emulated. {verdict.reason}"
    return Accel.TCG, Check(NAME, CheckState.WARN, fact, _kvm_hint())


def _kvm_hint() -> str | None:
    """Return the command that opens /dev/kvm for this user, if that is what is lacking."""
    if not KVM_DEVICE.exists() or os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return None
    if not probe_cpu().flags & {"vmx", "svm"}:
        return None
    return f"sudo usermod --append --groups kvm {getpass.getuser()}"
