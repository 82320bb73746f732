"""`python -m tests.component.workspace.dying_apply DIR N`: apply, and die before the Nth change.

A change is a rename or an unlink in the host's directory. Prints the number of changes at the end.
`save` writes what this process needs to know of a trip into its directory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from banger.workspace import PreparedWorkspace
from tests.component.workspace.conftest import Trip
from tests.component.workspace.test_apply import apply
from tests.support.local_guest import LocalGuest

DIED = 77


def save(trip: Trip) -> None:
    """Write the result of the prepare beside the trip's repository."""
    (trip.top.parent / "prepared").write_bytes(msgspec.json.encode(trip.prepared))


def load(directory: Path) -> Trip:
    """Return the trip that `save` wrote down."""
    prepared = msgspec.json.decode((directory / "prepared").read_bytes(), type=PreparedWorkspace)
    guest = LocalGuest(directory / "guest-home")
    top, work = directory / "project", directory / "guest/project"
    return Trip(top, work, guest, directory / "scratch", prepared)


def is_below(top: Path, fd: int | None) -> bool:
    """Tell whether a descriptor is of a directory of the host's work tree."""
    return fd is not None and Path(os.readlink(f"/proc/self/fd/{fd}")).is_relative_to(top)


def main(directory: Path, last: int) -> None:
    """Count the changes of an apply; die before the one of this number."""
    trip = load(directory)
    count = 0

    def counted(change: Callable[..., None]) -> Callable[..., None]:
        def change_or_die(*args: Any, **options: Any) -> None:
            nonlocal count
            if is_below(trip.top, options.get("dir_fd", options.get("dst_dir_fd"))):
                count += 1
                if count == last:
                    os._exit(DIED)
            change(*args, **options)

        return change_or_die

    os.rename, os.unlink = counted(os.rename), counted(os.unlink)  # type: ignore[assignment]
    apply(trip)
    print(count)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
