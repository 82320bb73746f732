"""Decide the spec of a VM from the request, the configuration and the host.

Everything is checked before anything exists (hazard C7): sizes and name first, then the host's
programs, then image and kernel, which may be built now.
"""

from __future__ import annotations

import asyncio
import contextlib
import posixpath
from collections.abc import AsyncIterator, Mapping

from banger import store
from banger.api.method import serves
from banger.api.requests import VmCreate
from banger.api.results import VmPlan
from banger.engine.state.engine import Engine
from banger.engine.state.operations import Operation
from banger.engine.transitions.capacity import promised_memory, require_processors
from banger.engine.transitions.preflight import require_programs
from banger.engine.verbs.images import ensure_image, require_image_possible
from banger.engine.verbs.imageusers import needing_image
from banger.engine.verbs.kernels import (
    ensure_kernel,
    needing_kernel,
    require_boots,
    require_kernel_possible,
)
from banger.engine.verbs.secrets import choose_secrets
from banger.errors import ImageUnsupported, InvalidRequest
from banger.images.platforms import host_platform, is_for, parse_platform
from banger.model.artifacts import Image
from banger.model.egress import Egress, Profile, add_rules, split_rules
from banger.model.names import parse_vm_name
from banger.model.secrets import allow_hosts
from banger.model.setup import require_setup
from banger.model.vm import Ending, Program, Shape, VmSpec, require_ending, require_sizes
from banger.network.table import require_policy
from banger.settings import Settings
from banger.sizes import format_size
from banger.vmm.table import require_shape
from banger.words import NO_NETWORK, network_words, require_driver, require_network

ENV_MAX = 64 * 1024
"""Most characters of the variables that a VM is made with; a command's limit is far above."""


def require_valid(params: VmCreate, settings: Settings) -> None:
    """Check everything in a request that can be checked without looking at the host.

    Raises:
        InvalidRequest: a size, the name or a label is not possible.
        NotSupported: the network cannot hold the VM to its egress policy.
        NotEnoughProcessors: the host has far fewer, and `force` is not given.
    """
    if params.name is not None:
        parse_vm_name(params.name)
    vcpu, memory_mib, disk_mib = _sizes(params, settings)
    require_sizes(vcpu=vcpu, memory_mib=memory_mib, disk_mib=disk_mib)
    require_processors(vcpu, force=params.force)
    require_ending(ttl_s=params.ttl_s, restart=params.restart, ephemeral=params.ephemeral)
    require_labels(params.labels)
    require_variables(params.env)
    if params.setup is not None:
        require_setup(params.setup)
        if not params.start:
            raise InvalidRequest("Setup commands run in a VM that is started.")
    if params.network is not None:
        require_network(params.network)
    choose_egress(params, settings)
    if params.driver is not None:
        require_driver(params.driver)


def choose_egress(params: VmCreate, settings: Settings) -> Egress:
    """Return the egress policy that a request asks for, with the configured rules behind its own.

    A profile that is asked for and has no rules by name does without those.

    Raises:
        InvalidRequest: it is not valid, or asked for without a network.
        NotSupported: the network cannot hold the VM to it.
    """
    asked = {
        "egress policy": params.egress is not None or params.egress_rules,
        "secrets": params.secrets,
        "bandwidth": params.bandwidth_mib,
    }
    what = next((word for word, value in asked.items() if value), None)
    if what and (params.network or settings.network) == NO_NETWORK:
        raise InvalidRequest(
            f"A VM without a network has no {what}.", hint=f"--network {network_words()[0]}"
        )
    rules = split_rules(settings.egress.rules)
    configured = Egress(profile=Profile(settings.egress.profile), rules=rules)
    profile = params.egress
    if params.secrets and profile is None and not configured.is_by_name:
        profile = Profile.REGISTRIES
    egress = add_rules(
        configured, params.egress_rules, profile=profile, bandwidth_mib=params.bandwidth_mib
    )
    if params.secrets:
        require_names(egress)
    require_policy(params.network or settings.network, egress)
    return egress


def require_names(egress: Egress) -> None:
    """Check that a VM that has secrets reaches hosts by name.

    Raises:
        InvalidRequest: it does not.
    """
    if not egress.is_by_name:
        raise InvalidRequest(
            f"Secrets need an egress profile by name; {egress.profile.value} is not one.",
            hint=f"--egress {Profile.REGISTRIES}",
        )


def require_labels(labels: Mapping[str, str]) -> None:
    """Check a VM's labels.

    Raises:
        InvalidRequest: one is not possible.
    """
    for key, value in labels.items():
        if not key or "=" in key or "\0" in key + value or len(key) + len(value) > 1024:
            raise InvalidRequest(
                f"{key!r} is not a label: its name must not be empty or contain =."
            )
        if not (key + value).isprintable():
            raise InvalidRequest(f"{key}={value} is not a label: it must be printable text.")


def require_variables(env: Mapping[str, str]) -> None:
    """Check variables for the commands in a VM.

    Raises:
        InvalidRequest: one is not possible, or they are more than a command can have.
    """
    for name, value in env.items():
        if not name or "=" in name or "\0" in name + value:
            raise InvalidRequest(
                f"{name!r:.200} is not a variable: its name must not be empty or contain =."
            )
    if sum(len(name) + len(value) for name, value in env.items()) > ENV_MAX:
        raise InvalidRequest(f"The variables have more than {ENV_MAX} characters in total.")


def kernel_ref(params: VmCreate, settings: Settings) -> str:
    """Return the name or digest of the kernel that a request asks for."""
    return params.kernel or settings.default_kernel


def image_ref(params: VmCreate, settings: Settings) -> str:
    """Return the name, reference or digest of the image that a request asks for."""
    return params.image or settings.default_image


@contextlib.asynccontextmanager
async def needing_parts(engine: Engine, op: Operation, params: VmCreate) -> AsyncIterator[None]:
    """Keep the image and the kernel that a request asks for from being removed for a block."""
    async with (
        needing_kernel(engine, op, kernel_ref(params, engine.settings)),
        needing_image(engine, op, image_ref(params, engine.settings)),
    ):
        yield


async def resolve_spec(engine: Engine, op: Operation, params: VmCreate) -> VmSpec:
    """Return the whole spec for a valid request, with image and kernel made; shows it as a note.

    The name is empty if none was asked for. The caller holds `needing_parts` until the spec is
    recorded.

    Raises:
        ToolMissing: the host lacks programs; they are named.
        ImageNotFound, KernelNotFound: and it cannot be made.
        ImageUnsupported: the image is for another platform.
        KernelUnfit: the driver does not boot the kernel.
        NotSupported: the driver runs no VM of this shape.
        InvalidRequest: its entry point is asked for, and there is none that could be run.
        NotFound: there is no secret of a name that is asked for.
    """
    settings = engine.settings
    held, secrets = await choose_secrets(engine, params.secrets)
    egress = choose_egress(params, settings)
    allow_hosts(egress, secrets)  # or the network would not start
    network = params.network or settings.network
    vcpu, memory_mib, disk_mib = _sizes(params, settings)
    word = params.driver or settings.driver
    driver = await engine.host.choose(word, vcpu=vcpu, network=network)
    require_shape(driver, vcpu=vcpu, network=network)
    await require_programs(engine, driver=driver, network=network)
    # Before an image is built for nothing.
    await require_kernel_possible(engine, kernel_ref(params, settings), driver=driver)
    image = await ensure_image(engine, op, image_ref(params, settings))
    _require_platform(image)
    kernel = await ensure_kernel(engine, kernel_ref(params, settings), op.progress)
    await asyncio.to_thread(require_boots, engine, kernel, driver)
    spec = VmSpec(
        name=params.name or "",
        image=image.digest,
        image_name=image.name,
        kernel=kernel.digest,
        shape=Shape(vcpu=vcpu, memory_mib=memory_mib, disk_mib=disk_mib, network=network),
        driver=driver,
        accel=await engine.host.accel(driver),
        labels=params.labels,
        program=Program(
            env=image.env | params.env,
            # Images of earlier versions have relative ones.
            workdir=image.workdir and posixpath.join("/", image.workdir),
            user=image.user,
            entrypoint=_entrypoint(image) if params.entrypoint else (),
        ),
        ending=Ending(
            ephemeral=params.ephemeral,
            ttl_s=params.ttl_s,
            auto_stop_s=settings.auto_stop_s,
            restart=params.restart,
        ),
        egress=egress,
        secrets=held,
    )
    op.note("spec", _describe(spec))
    return spec


@serves("vm.plan")
async def plan_vm(engine: Engine, op: Operation, params: VmCreate) -> VmPlan:
    """Return what `create_vm` would make, or refuse what it would refuse. Makes nothing.

    Raises: as `create_vm`, but for what goes wrong while something is made.
    """
    settings = engine.settings
    require_valid(params, settings)
    if params.name is not None:
        await engine.database.read(store.require_name_free, params.name)
    await choose_secrets(engine, params.secrets)
    network = params.network or settings.network
    vcpu, memory_mib, disk_mib = _sizes(params, settings)
    word = params.driver or settings.driver
    driver = await engine.host.choose(word, vcpu=vcpu, network=network)
    require_shape(driver, vcpu=vcpu, network=network)
    await require_programs(engine, driver=driver, network=network)
    image, kernel = image_ref(params, settings), kernel_ref(params, settings)
    await require_kernel_possible(engine, kernel, driver=driver)
    await require_image_possible(engine, image)
    async with promised_memory(engine, op, memory_mib, force=params.force or not params.start):
        return VmPlan(
            name=params.name,
            image=image,
            kernel=kernel,
            vcpu=vcpu,
            memory_mib=memory_mib,
            disk_mib=disk_mib,
            network=network,
            driver=driver,
            accel=await engine.host.accel(driver),
        )


def _require_platform(image: Image) -> None:
    here = host_platform()
    if image.platform and not is_for(parse_platform(image.platform), here):
        raise ImageUnsupported(
            f"The image {image.name} is for {image.platform}; this host is {here}."
        )


def _entrypoint(image: Image) -> tuple[str, ...]:
    if image.init is not None:
        raise InvalidRequest(
            f"The image {image.name} has an init, which decides what to run.",
            hint=f"banger vm create --image {image.name}",
        )
    command = (*image.entrypoint, *image.cmd)
    if not command:
        raise InvalidRequest(
            f"The image {image.name} has neither an entry point nor a command.",
            hint=f"banger image show {image.name}",
        )
    return command


def _describe(spec: VmSpec) -> str:
    shape = spec.shape
    return (
        f"{shape.vcpu} vcpu | {shape.memory_mib} MiB | {format_size(shape.disk_mib)} disk | "
        f"{spec.image_name} | {spec.driver}/{spec.accel}"
    )


def _sizes(params: VmCreate, settings: Settings) -> tuple[int, int, int]:
    def chosen(asked: int | None, default: int) -> int:
        return default if asked is None else asked

    return (
        chosen(params.vcpu, settings.vm_defaults.vcpu),
        chosen(params.memory_mib, settings.vm_defaults.memory_mib),
        chosen(params.disk_mib, settings.vm_defaults.disk_gib * 1024),
    )
