"""`vm.run` beside `subprocess.run`, with the same arguments."""

from __future__ import annotations

import subprocess
from typing import Any

from banger import errors
from tests.component.sdk.conftest import Box

SAME_ERRORS: dict[type[Exception], type[Exception]] = {
    subprocess.CalledProcessError: errors.CommandFailed,
    subprocess.TimeoutExpired: errors.DeadlineExceeded,
    FileNotFoundError: errors.ExecNotFound,
    PermissionError: errors.ExecNotExecutable,
}
BOTH = ["sh", "-c", "echo out; echo err >&2; exit 3"]
CASES: list[tuple[list[str], dict[str, Any]]] = [
    (BOTH, {"text": True}),
    (BOTH, {"text": False}),
    (BOTH, {"text": True, "check": True}),
    (BOTH, {"text": False, "check": True}),
    (["true"], {"text": True, "check": True, "timeout": 600}),
    (["sh", "-c", "kill -9 $$"], {"text": True}),
    (["sh", "-c", "kill -15 $$"], {"text": True, "check": True}),
    (["cat"], {"text": True}),
    (["cat"], {"text": True, "input": ""}),
    (["cat"], {"text": True, "input": "grün\n"}),
    (["cat"], {"text": False, "input": bytes(range(256)) * 5000}),
    (["true"], {"text": False, "input": b"x" * 1_000_000}),
    (["sh", "-c", 'echo "$A"'], {"text": True, "env": {"A": "b  c", "PATH": "/usr/bin:/bin"}}),
    (["pwd"], {"text": True, "cwd": "/"}),
    (["echo", "a b", "", "$HOME", "*"], {"text": True}),
    (["sleep", "1000"], {"text": True, "timeout": 0.1}),
    (["no-such-program"], {"text": True}),
    (["/etc/passwd"], {"text": True}),
]


def outcome(run: Any, argv: list[str], options: dict[str, Any]) -> tuple[object, ...]:
    """Return what a call has returned or raised."""
    try:
        done = run(argv, **options)
    except (subprocess.CalledProcessError, errors.CommandFailed) as failed:
        kind = SAME_ERRORS.get(type(failed), type(failed))
        return kind, failed.returncode, failed.stdout, failed.stderr
    except (*SAME_ERRORS, errors.BangerError) as error:
        return (SAME_ERRORS.get(type(error), type(error)),)
    return done.args, done.returncode, done.stdout, done.stderr


def run_here(argv: list[str], **options: Any) -> object:
    stdin = {} if "input" in options else {"stdin": subprocess.DEVNULL}
    check = options.pop("check", False)
    return subprocess.run(argv, capture_output=True, check=check, **stdin, **options)


def test_a_command_ends_as_by_subprocess(box: Box) -> None:
    """H1: statuses, signals, outputs and errors are those of `subprocess.run`."""
    for argv, options in CASES:
        assert outcome(box.run, argv, options) == outcome(run_here, argv, options), (argv, options)
