"""A driver that starts and ends VMs, and nothing else."""

from __future__ import annotations

from banger.model.artifacts import KernelForm
from tests.support.toys.driver.kind import Toy


class Plain(Toy):
    """The toy driver without anything that only some drivers can do."""

    capabilities = frozenset()

    def find_kernel_obstacle(self, form: KernelForm) -> str | None:
        if form.has_option("PLAIN"):
            return None
        return "A plain driver boots only kernels with CONFIG_PLAIN."


DRIVER = Plain()
