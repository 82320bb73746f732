"""The drivers by their words, loaded when first asked for."""

from __future__ import annotations

import importlib

from banger.errors import HostNotReady
from banger.vmm.driver import DriverKind
from banger.words import DRIVERS


def find_driver_kind(word: str) -> DriverKind:
    """Return the kind of driver of this word.

    Raises:
        HostNotReady: the word is of another release.
    """
    if word not in DRIVERS:
        raise HostNotReady(
            f"This release of banger has no driver {word!r}.", hint="pipx upgrade banger"
        )
    kind: DriverKind = importlib.import_module(f"{DRIVERS[word]}.kind").DRIVER
    return kind
