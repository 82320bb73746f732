"""Sizes are told in the unit that a person would use."""

from __future__ import annotations

import pytest

from banger.errors import InvalidRequest
from banger.model.vm import require_sizes
from banger.sizes import format_size


@pytest.mark.parametrize(
    ("mib", "text"),
    [
        (-1, "-1 MiB"),
        (0, "0 MiB"),
        (1023, "1023 MiB"),
        (1024, "1 GiB"),
        (2816, "2.75 GiB"),
        (8192, "8 GiB"),
        (1023 * 1024, "1023 GiB"),
        (1024 * 1024, "1 TiB"),
    ],
)
def test_a_size_is_in_the_largest_unit_that_fits(mib: int, text: str) -> None:
    assert format_size(mib) == text


def test_limits_are_told_in_the_units_of_people() -> None:
    with pytest.raises(InvalidRequest, match=r"memory 2 TiB .* 128 MiB to 1 TiB are allowed"):
        require_sizes(vcpu=1, memory_mib=2 * 1024 * 1024, disk_mib=8192)
