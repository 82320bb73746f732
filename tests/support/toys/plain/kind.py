"""A driver that starts and ends VMs, and nothing else."""

from __future__ import annotations

from tests.support.toys.driver.kind import Toy


class Plain(Toy):
    """The toy driver without anything that only some drivers can do."""

    capabilities = frozenset()


DRIVER = Plain()
