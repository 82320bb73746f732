"""Progress of a long request: a live display on a terminal, plain lines elsewhere (hazard H9).

`rich` is imported only to draw: on a terminal, when a stage lasts longer than `PATIENCE_S`.
Elsewhere each stage that lasts that long prints a line, and another line every `REMIND_S`. Quiet
prints nothing. The times of the stages are always recorded, for `--timings`.
"""

from __future__ import annotations

import os
import sys
import time

from banger.cli.terminal.output import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from banger.cli.terminal.bars import Bars

PATIENCE_S = 0.3
REMIND_S = 30.0


class Stages:
    """The stages of one command. Pass `on_event` and `on_tick` to the client's calls."""

    def __init__(self, *, quiet: bool = False, timings: bool = False) -> None:
        self._quiet = quiet
        self._timings = timings
        self._live = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._bars: Bars | None = None
        self._stage = ""
        self._done: int | None = None
        self._total: int | None = None
        self._parts: list[tuple[str, int, int]] = []
        self._are_bytes = False
        self._since = time.monotonic()
        self._client_s = _age_s() if timings else 0.0
        """The client's own time: the start of this process, and the time between stages."""
        self._said_at: float | None = None
        self._spec_shown = False
        self.times: list[tuple[str, float]] = []

    def __enter__(self) -> Stages:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        if self._timings:
            for line in self.render_times().splitlines():
                self._write(line)

    def on_event(self, kind: str, content: dict[str, object]) -> None:
        """Handle a notification from the daemon."""
        if kind == "note":
            self._note(str(content.get("kind")), str(content.get("text")))
        elif kind == "progress":
            self.enter(str(content.get("stage")))
            self._done, self._total = _number(content, "done"), _number(content, "total")
            self._parts = _parts(content)
            self.on_tick()

    def copied(self, done_bytes: int, total_bytes: int | None) -> None:
        """Handle the progress of a copy that this process makes itself."""
        self.enter("copying")
        self._done, self._total, self._are_bytes = done_bytes, total_bytes, True
        self.on_tick()

    @property
    def is_live(self) -> bool:
        """Whether progress is drawn, rather than printed as lines or not at all."""
        return self._live

    def enter(self, stage: str) -> None:
        """Begin a stage and end the last stage; no effect if the stage is already current."""
        if stage != self._stage:
            self._close_stage()
            self._stage = stage

    def on_tick(self) -> None:
        """Refresh the display, or print a reminder that is due."""
        lasted = time.monotonic() - self._since
        if self._quiet or not self._stage or lasted < PATIENCE_S:
            return
        if self._live:
            self._draw()
        elif self._said_at is None or time.monotonic() - self._said_at >= REMIND_S:
            again = "" if self._said_at is None else f" (for {lasted:.0f} s{self._share()})"
            self._write(f"{self._stage} ...{again}")
            self._said_at = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line between the stages, unless quiet."""
        self._erase()
        if not self._quiet:
            self._write(text)

    def end(self) -> None:
        """End the last stage and clear the display."""
        self._close_stage()

    def render_times(self) -> str:
        """Return the stage table: the client's own time, each stage, and the total."""
        rows = [("client", self._client_s), *self.times]
        rows.append(("total", sum(seconds for _, seconds in rows)))
        width = max(len(stage) for stage, _ in rows)
        return "\n".join(f"{stage.ljust(width)}  {seconds:8.3f} s" for stage, seconds in rows)

    # --- inside ---

    def _note(self, kind: str, text: str) -> None:
        if kind == "spec":
            self._spec_shown = True
            text = f"spec: {text}"
        self.say(text)

    def _share(self) -> str:
        return f", {100 * self._done // self._total} %" if self._done and self._total else ""

    def _close_stage(self) -> None:
        self._erase()
        now = time.monotonic()
        if self._stage:
            self.times.append((self._stage, now - self._since))
        else:
            self._client_s += now - self._since
        self._stage, self._since, self._said_at = "", now, None
        self._done = self._total = None
        self._parts, self._are_bytes = [], False

    def _draw(self) -> None:
        if self._bars is None:
            from banger.cli.terminal.bars import Bars

            self._bars = Bars()
        self._bars.show(
            self._stage, self._done, self._total, self._parts, are_bytes=self._are_bytes
        )

    def _erase(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _write(self, text: str) -> None:
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()


def _age_s() -> float:
    """Return the age of this process, to a hundredth of a second; see proc_pid_stat(5)."""
    with open("/proc/self/stat", "rb") as stat:
        start_ticks = int(stat.read().rpartition(b")")[2].split()[19])
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return max(now - start_ticks / os.sysconf("SC_CLK_TCK"), 0.0)


def _number(content: dict[str, object], name: str) -> int | None:
    value = content.get(name)
    return value if isinstance(value, int) else None


def _parts(content: dict[str, object]) -> list[tuple[str, int, int]]:
    """Return the parallel parts: name, bytes done, total bytes."""
    found = content.get("parts")
    parts = found if isinstance(found, list) else []
    return [(str(part["name"]), int(part["done"]), int(part["total"])) for part in parts]
