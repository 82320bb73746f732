"""Methods of the parts of VMs: images, kernels, templates."""

from __future__ import annotations

from banger.api.method import Method
from banger.api.requests import (
    ImageBuild,
    ImageImport,
    ImagePrune,
    ImagePull,
    ImageRef,
    ImageRegister,
    KernelBuild,
    KernelFetch,
    KernelImport,
    KernelPull,
    KernelRef,
    NoParams,
    TemplateBuild,
    TemplateRef,
)
from banger.api.results import (
    AvailableKernel,
    CatalogueView,
    Deleted,
    ImageView,
    KernelView,
    Pruned,
    TemplateView,
)
from banger.model.artifacts import (
    Image,
    Kernel,
)
from banger.model.scopes import Scope

ARTIFACTS = (
    Method(
        name="image.list",
        params=NoParams,
        result=list[ImageView],
        doc="List images.",
        scope=Scope.READ,
    ),
    Method(
        name="image.show",
        params=ImageRef,
        result=ImageView,
        doc="Return one image.",
        scope=Scope.READ,
    ),
    Method(
        name="image.catalog",
        params=NoParams,
        result=list[CatalogueView],
        doc="List the images that are built on first use of their name.",
        scope=Scope.READ,
    ),
    Method(
        name="image.build",
        params=ImageBuild,
        result=Image,
        doc="Build an image from distribution packages.",
    ),
    Method(
        name="image.import",
        params=ImageImport,
        result=Image,
        doc="Import an image archive or a root file system tar.",
    ),
    Method(
        name="image.register",
        params=ImageRegister,
        result=Image,
        doc="Register a squashfs file as an image, without a copy.",
    ),
    Method(
        name="image.promote",
        params=ImageRef,
        result=Image,
        doc="Copy the file of a registered image into the image store.",
    ),
    Method(
        name="image.pull",
        params=ImagePull,
        result=Image,
        doc="Pull an image from a registry.",
    ),
    Method(
        name="image.prune",
        params=ImagePrune,
        result=Pruned,
        doc="Delete unused images and cached downloads.",
        detached=True,
    ),
    Method(
        name="image.delete",
        params=ImageRef,
        result=Deleted,
        doc="Delete an image, or only this name if it has others.",
    ),
    Method(
        name="kernel.list",
        params=NoParams,
        result=list[KernelView],
        doc="List kernels.",
        scope=Scope.READ,
    ),
    Method(
        name="kernel.available",
        params=NoParams,
        result=list[AvailableKernel],
        doc="List the kernels that can be pulled.",
        scope=Scope.READ,
    ),
    Method(
        name="kernel.show",
        params=KernelRef,
        result=KernelView,
        doc="Return one kernel.",
        scope=Scope.READ,
    ),
    Method(
        name="kernel.pull",
        params=KernelPull,
        result=Kernel,
        doc="Download a kernel from a signed package.",
    ),
    Method(
        name="kernel.fetch",
        params=KernelFetch,
        result=Kernel,
        doc="Download a kernel from a URL and check its sha256.",
    ),
    Method(
        name="kernel.import",
        params=KernelImport,
        result=Kernel,
        doc="Import a kernel from files.",
    ),
    Method(
        name="kernel.build",
        params=KernelBuild,
        result=Kernel,
        doc="Build a small kernel from source with the host's compiler.",
    ),
    Method(
        name="kernel.delete",
        params=KernelRef,
        result=Deleted,
        doc="Delete an unused kernel.",
    ),
    Method(
        name="kernel.prune",
        params=NoParams,
        result=Deleted,
        doc="Delete replaced kernels and their templates, unless a VM uses them.",
    ),
    Method(
        name="template.list",
        params=NoParams,
        result=list[TemplateView],
        doc="List templates, most recently used first.",
        scope=Scope.READ,
    ),
    Method(
        name="template.build",
        params=TemplateBuild,
        result=TemplateView,
        doc="Build the template for VMs of this size, unless it exists.",
    ),
    Method(
        name="template.delete",
        params=TemplateRef,
        result=Deleted,
        doc="Delete an unused template.",
    ),
    Method(
        name="template.prune",
        params=NoParams,
        result=Deleted,
        doc="Delete all templates that no VM uses.",
    ),
)
