"""The settings in force: from the current file and the caller's environment.

The file is read again when it has changed. A file with a fault changes nothing: the last good
settings stay in force, and `fault` says why. Reads the configuration file; writes nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from banger.api.caller import PREFIX, merge_caller
from banger.config import decide_settings, load_file
from banger.engine.state.operations import current_caller
from banger.errors import ConfigInvalid
from banger.setting import Value
from banger.settings import Settings

log = logging.getLogger(__name__)

SettingsNow = Callable[[], Settings]
"""Returns the settings that hold at this moment, for the request that asks."""


class SettingsInForce:
    """Call it for the settings. `environ`: the daemon's own, for what no request asks for."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._values: dict[str, Value] = load_file(path)
        self._seen = self._look()
        self._decided: dict[frozenset[tuple[str, str]], Settings] = {}
        self.fault: ConfigInvalid | None = None
        """Why the file, as it is now, is not in force."""

    def __call__(self) -> Settings:
        """Return the settings for the request that this task works for.

        Raises:
            ConfigInvalid: a variable of the caller's is not valid.
        """
        self.refresh()
        caller = current_caller.get()
        environ = self._environ if caller is None else merge_caller(self._environ, caller)
        ours = frozenset(item for item in environ.items() if item[0].startswith(PREFIX))
        if ours not in self._decided:
            settings = decide_settings(self._values, self._path, dict(ours))
            # Few shells differ; one that differs each time must not fill the memory.
            self._decided = {**dict(list(self._decided.items())[-7:]), ours: settings}
        return self._decided[ours]

    def refresh(self) -> None:
        """Read the file again if it is not the one that was read last."""
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._values = load_file(self._path)
        except ConfigInvalid as error:
            self.fault = error
            log.warning("the previous settings stay in effect: %s", error.message)
            return
        self.fault = None
        self._decided.clear()
        log.info("read %s again", self._path)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns
