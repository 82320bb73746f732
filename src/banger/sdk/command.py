"""The end of a command in a VM, and its collected output. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import AnyStr, Generic

from banger.api.stream import STDERR, STDOUT
from banger.errors import Cancelled, CommandFailed, GuestOutputTooBig

OnOutput = Callable[[int, bytes], None]
"""Called with each piece of output: 1 (stdout) or 2 (stderr), and the bytes."""

OUTPUT_MAX_BYTES = 64 * 1024 * 1024
"""Of what one stream brings: a guest may write without an end."""


class CompletedProcess(Generic[AnyStr]):
    """A command that has ended, with the attributes of `subprocess.CompletedProcess`."""

    def __init__(self, args: list[str], returncode: int, stdout: AnyStr, stderr: AnyStr) -> None:
        self.args = args
        self.returncode = returncode
        """-N: signal N ended it."""
        self.stdout: AnyStr = stdout
        self.stderr: AnyStr = stderr

    def check_returncode(self) -> None:
        """Raise an error unless the command has succeeded.

        Raises:
            CommandFailed: its exit status is not 0.
        """
        if self.returncode != 0:
            error = CommandFailed(_describe(self.args[0], self.returncode))
            error.returncode, error.stdout, error.stderr = (
                self.returncode,
                self.stdout,
                self.stderr,
            )
            raise error

    def __repr__(self) -> str:
        return (
            f"CompletedProcess(args={self.args!r}, returncode={self.returncode}, "
            f"stdout={self.stdout!r}, stderr={self.stderr!r})"
        )


class Output:
    """What comes out of a VM on a stream, and how the stream ended.

    It is kept in memory, unless there is `on_output`, which gets each piece with its channel.
    """

    def __init__(self, on_output: OnOutput | None = None) -> None:
        self._on_output = on_output
        self._channels = {STDOUT: bytearray(), STDERR: bytearray()}
        self.exit: dict[str, int] = {}

    @property
    def stdout(self) -> bytes:
        """What came on the first channel: output, an archive, a patch."""
        return bytes(self._channels[STDOUT])

    def take(self, channel: int, untrusted_data: bytes) -> None:
        """Keep data, or pass it on.

        Raises:
            GuestOutputTooBig: there is more to keep than `OUTPUT_MAX_BYTES`.
        """
        if self._on_output is not None:
            self._on_output(channel, untrusted_data)
            return
        self._channels[channel] += untrusted_data
        if sum(map(len, self._channels.values())) > OUTPUT_MAX_BYTES:
            raise GuestOutputTooBig(f"The VM sent more than {OUTPUT_MAX_BYTES >> 20} MiB.")

    def complete(self, args: list[str]) -> CompletedProcess[bytes]:
        """Return the end of a command."""
        stderr = bytes(self._channels[STDERR])
        return CompletedProcess(args, returncode_of(self.exit), self.stdout, stderr)


def returncode_of(exit_: dict[str, int]) -> int:
    """Return how a command ended as `subprocess` says it."""
    return -exit_["signal"] if exit_.get("signal") else exit_.get("status", 0)


def closed_error() -> Cancelled:
    """Return the error for those who wait for a stream that this program has closed."""
    return Cancelled(
        "The connection was closed at the end of its block, so the outcome is unknown.",
        hint="read to the end, or call wait(), in the block",
    )


def decode(done: CompletedProcess[bytes]) -> CompletedProcess[str]:
    """Return the same with text; what is not UTF-8 becomes U+FFFD."""
    stdout, stderr = (out.decode("utf-8", "replace") for out in (done.stdout, done.stderr))
    return CompletedProcess(done.args, done.returncode, stdout, stderr)


def encode(data: str | bytes | None) -> bytes | None:
    """Return what is to be written to a command's input."""
    return data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data


def _describe(program: str, returncode: int) -> str:
    if returncode < 0:
        return f"{program} was ended by signal {-returncode}."
    return f"{program} exited with status {returncode}."
