"""Every error that a user or a client can see.

One tree. Each class has a stable kebab-case `code` (the contract: codes are
never reused for something else) and an `exit_code` for the command line. An
instance says one sentence of fact that names the object, and may carry a hint:
a command that the user can run. Rooms raise these and translate foreign errors
(`OSError`, `CalledProcessError`, ...) at their own edge, with `from`.

The docstring of each class says when it is raised; `docs/errors.md` is made
from them. This module imports nothing: the command line loads it every time.
"""

from __future__ import annotations


class BangerError(Exception):
    """The root of the tree; never raised itself."""

    code = "failed"
    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        details: str | None = None,
        retryable: bool = False,
        operation_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details
        self.retryable = retryable
        self.operation_id = operation_id


# --- families: one for each exit code -------------------------------------


class OperationFailed(BangerError):
    """An operation could not be completed."""

    code = "operation-failed"
    exit_code = 1


class InvalidRequest(BangerError):
    """A request or a value in it is not valid; nothing was done."""

    code = "invalid-request"
    exit_code = 2


class InternalError(BangerError):
    """A bug in banger; a report was written and its path is in the message."""

    code = "internal-error"
    exit_code = 3


class NotFound(BangerError):
    """A named object does not exist."""

    code = "not-found"
    exit_code = 4


class Conflict(BangerError):
    """The object is busy, in use, or in the wrong state for the request."""

    code = "conflict"
    exit_code = 5


class HostNotReady(BangerError):
    """This host lacks something that the request needs."""

    code = "host-not-ready"
    exit_code = 6


class DaemonUnreachable(BangerError):
    """The daemon could not be reached or started."""

    code = "daemon-unreachable"
    exit_code = 7


class DeadlineExceeded(BangerError):
    """Something did not finish in its time; the message names it and the time."""

    code = "deadline-exceeded"
    exit_code = 8


class Denied(BangerError):
    """The request is not permitted."""

    code = "denied"
    exit_code = 9


class Cancelled(BangerError):
    """The request was cancelled by its client."""

    code = "cancelled"
    exit_code = 130


# --- requests --------------------------------------------------------------


class UnknownMethod(InvalidRequest):
    """The daemon has no such method."""

    code = "unknown-method"


class ConfigInvalid(InvalidRequest):
    """The configuration file or a BANGER_* variable is not valid."""

    code = "config-invalid"


# --- VMs --------------------------------------------------------------------


class VmNotFound(NotFound):
    """No VM has this name, id or prefix."""

    code = "vm-not-found"


class VmAmbiguous(InvalidRequest):
    """A prefix matches more than one VM; the candidates are listed."""

    code = "vm-ambiguous"


class NameTaken(Conflict):
    """Another VM already has this name."""

    code = "name-taken"


class VmBusy(Conflict):
    """Another operation holds the VM; the message names it."""

    code = "vm-busy"


class WrongState(Conflict):
    """The VM's state does not allow the request."""

    code = "wrong-state"


class BootFailed(OperationFailed):
    """The VM was started but its agent never became ready."""

    code = "boot-failed"


class VmmFailed(OperationFailed):
    """The VMM process could not be started or ended unexpectedly."""

    code = "vmm-failed"


# --- guest ------------------------------------------------------------------


class GuestGone(OperationFailed):
    """The connection to the guest's agent ended, usually with the VM."""

    code = "guest-gone"


class GuestProtocolError(OperationFailed):
    """The guest sent something that the protocol does not allow."""

    code = "guest-protocol"


class GuestRefused(OperationFailed):
    """The guest's agent could not do what was asked; its reason is given."""

    code = "guest-refused"


# --- host -------------------------------------------------------------------


class ToolMissing(HostNotReady):
    """A host tool is not installed; the hint is the command that installs it."""

    code = "tool-missing"


class ToolFailed(OperationFailed):
    """A host tool failed; the details hold the end of what it said."""

    code = "tool-failed"


class NoSpace(HostNotReady):
    """A file system of the host is full."""

    code = "no-space"


# --- images and kernels -----------------------------------------------------


class ImageNotFound(NotFound):
    """No image has this name or digest, and none can be built under it."""

    code = "image-not-found"


class ImageInUse(Conflict):
    """The image is used; the users are named."""

    code = "image-in-use"


class KernelNotFound(NotFound):
    """No kernel has this name."""

    code = "kernel-not-found"


# --- workspaces -------------------------------------------------------------


class NotARepository(InvalidRequest):
    """The path is not the work tree of a git repository."""

    code = "not-a-repository"


class UnsafePatch(Denied):
    """What the guest exported would write outside the work tree."""

    code = "unsafe-patch"
