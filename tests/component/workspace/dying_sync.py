"""`python -m tests.component.workspace.dying_sync DIR N`: sync, and die before the Nth change.

A change is a rename or an unlink in the host's directory, anything that is asked of the guest, or
the base. Prints the number of changes at the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from banger.workspace import syncbase
from tests.component.workspace.dying_apply import DIED, is_below, load
from tests.component.workspace.test_sync import sync


def main(directory: Path, last: int) -> None:
    """Count the changes of a sync; die before the one of this number."""
    trip = load(directory)
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == last:
            os._exit(DIED)

    def on_host(change: Callable[..., None]) -> Callable[..., None]:
        def change_or_die(*args: Any, **options: Any) -> None:
            if is_below(trip.top, options.get("dir_fd", options.get("dst_dir_fd"))):
                step()
            change(*args, **options)

        return change_or_die

    def anywhere(act: Callable[..., Any]) -> Callable[..., Any]:
        def act_or_die(*args: Any, **options: Any) -> Any:
            step()
            return act(*args, **options)

        return act_or_die

    os.rename, os.unlink = on_host(os.rename), on_host(os.unlink)  # type: ignore[assignment]  # they take any path
    for name in ("run", "tar_in"):
        setattr(trip.guest, name, anywhere(getattr(trip.guest, name)))
    syncbase.publish_dir = anywhere(syncbase.publish_dir)
    sync(trip)
    print(count)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
