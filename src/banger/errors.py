"""Every error that a user or a client can see.

One tree. Each class has a stable kebab-case `code` (the contract: codes are never reused for
something else) and an `exit_code` for the command line. An instance says one sentence of fact that
names the object, and may carry a hint: a command that the user can run. Rooms raise these and
translate foreign errors (`OSError`, `CalledProcessError`, ...) at their own edge, with `from`.

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

    def as_document(self) -> dict[str, object]:
        """Return what a program is told of the error."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
            "operation_id": self.operation_id,
            "retryable": self.retryable,
            "exit_code": self.exit_code,
        }


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


class UnknownMethod(InvalidRequest):
    """The daemon has no such method."""

    code = "unknown-method"


class ConfigInvalid(InvalidRequest):
    """The configuration file or a BANGER_* variable is not valid."""

    code = "config-invalid"


class DaemonSilent(DaemonUnreachable):
    """A daemon runs, but answers nothing or listens nowhere; its pid is named."""

    code = "daemon-silent"
    pid = 0


class VersionMismatch(DaemonUnreachable):
    """The daemon is of another version than the client; the client restarts it."""

    code = "version-mismatch"


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


class ConsoleTaken(Conflict):
    """Another client is at the VM's serial console."""

    code = "console-taken"


class WrongState(Conflict):
    """The VM's state does not allow the request."""

    code = "wrong-state"


class NotSupported(Conflict):
    """The VM's driver cannot do what is asked; another driver may."""

    code = "not-supported"


class OperationNotFound(NotFound):
    """No operation in progress has this id."""

    code = "operation-not-found"


class NotCancellable(Conflict):
    """The operation is of a kind that is always completed, or had been completed already."""

    code = "not-cancellable"


class BootFailed(OperationFailed):
    """The VM was started but its agent never became ready."""

    code = "boot-failed"


class VmmFailed(OperationFailed):
    """The VMM process could not be started or ended unexpectedly."""

    code = "vmm-failed"


class GuestGone(OperationFailed):
    """The connection to the guest's agent ended, usually with the VM."""

    code = "guest-gone"


class GuestProtocolError(OperationFailed):
    """The guest sent something that the protocol does not allow."""

    code = "guest-protocol"


class GuestRefused(OperationFailed):
    """The guest's agent could not do what was asked; its reason is given."""

    code = "guest-refused"
    guest_code = ""
    """The agent's own code (docs/guest-protocol.md, section 6)."""
    guest_errno = 0


class ExecNotFound(GuestRefused):
    """The guest has no such program."""

    code = "exec-not-found"
    exit_code = 127


class ExecNotExecutable(GuestRefused):
    """The guest cannot execute the program."""

    code = "exec-not-executable"
    exit_code = 126


class ExecBadDirectory(GuestRefused):
    """The guest cannot enter the directory that the program was to start in."""

    code = "exec-bad-directory"


class ExecNoSuchUser(GuestRefused):
    """The guest does not know the user that the program was to run as."""

    code = "exec-no-such-user"


class GuestPathNotFound(GuestRefused):
    """The guest has no such file."""

    code = "guest-path-not-found"


class GuestOutputTooBig(OperationFailed):
    """A command of ours in the guest wrote more than we keep; it was killed."""

    code = "guest-output-too-big"


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


class NotEnoughMemory(HostNotReady):
    """The host's memory does not hold another VM; the message has the numbers."""

    code = "not-enough-memory"


class NotEnoughProcessors(HostNotReady):
    """The host has far fewer processors than a VM is to have."""

    code = "not-enough-processors"


class HostFailed(OperationFailed):
    """The host refused a file, a process or memory: a limit, a permission, a failing device."""

    code = "host-failed"


class DatabaseFailed(OperationFailed):
    """The database of records could not be read or written."""

    code = "database-failed"


# --- images and kernels -----------------------------------------------------


class ImageNotFound(NotFound):
    """No image has this name or digest, and none can be built under it."""

    code = "image-not-found"


class ImageInUse(Conflict):
    """A VM or an operation uses the image; the users are named."""

    code = "image-in-use"


class ImageChanged(OperationFailed):
    """The file of a registered image is gone, or is not what it was when it was registered."""

    code = "image-changed"


class ImageInvalid(OperationFailed):
    """Something that an image is made of breaks its format, or exceeds a limit."""

    code = "image-invalid"


class ImageUnsupported(OperationFailed):
    """An image is of a kind, or for a platform, that cannot be used here."""

    code = "image-unsupported"


class ReferenceInvalid(InvalidRequest):
    """A text is not the name of an image in a registry; the message says why."""

    code = "reference-invalid"


class RegistryUnreachable(OperationFailed):
    """A registry cannot be reached, is busy, or broke off; trying again later may help."""

    code = "registry-unreachable"
    retry_after_s: float | None = None
    """How long it asked us to wait."""


class RegistryMisbehaved(OperationFailed):
    """A registry answered what its protocol does not allow, or what we do not accept."""

    code = "registry-misbehaved"


class DownloadFailed(OperationFailed):
    """A file cannot be had from its URL, or what came is not what its sha256 says."""

    code = "download-failed"


class RegistryDenied(Denied):
    """A registry wants other credentials than we have, or refuses them."""

    code = "registry-denied"


class ImageUntrusted(Denied):
    """An image is not signed as the configuration wants images of its repository to be."""

    code = "image-untrusted"


class KernelNotFound(NotFound):
    """No kernel has this name."""

    code = "kernel-not-found"


class KernelInUse(Conflict):
    """A VM, a template or an operation uses the kernel; the users are named."""

    code = "kernel-in-use"


class TemplateNotFound(NotFound):
    """No template has this key, and none begins with it alone."""

    code = "template-not-found"


class TemplateInUse(Conflict):
    """A VM runs on the template, or is being started from it; the users are named."""

    code = "template-in-use"


class TemplateUnusable(OperationFailed):
    """A template is damaged, or is not what its manifest says; it is removed."""

    code = "template-unusable"


class SnapshotNotFound(NotFound):
    """The VM has no snapshot of this name or id."""

    code = "snapshot-not-found"


class SnapshotExists(Conflict):
    """The VM has a snapshot of this name already."""

    code = "snapshot-exists"


class SnapshotUnusable(OperationFailed):
    """A snapshot is damaged, or it or its VM is another VMM's, or for another CPU or machine."""

    code = "snapshot-unusable"


class KernelUnfit(OperationFailed):
    """A kernel cannot be used for guests: it lacks something, or its package is not as expected."""

    code = "kernel-unfit"


class RecipeInvalid(InvalidRequest):
    """An image recipe is not valid; the message names the file, the line and the key."""

    code = "recipe-invalid"


class NotARepository(InvalidRequest):
    """The path is not the work tree of a git repository."""

    code = "not-a-repository"


class ExportTooLarge(OperationFailed):
    """The guest's work tree holds more than an export may; the message names a file."""

    code = "export-too-large"


class UnsafeBranch(Denied):
    """The commits that the guest sent are broken or hold names that no work tree may have."""

    code = "unsafe-branch"


class RepositoryRefused(InvalidRequest):
    """The repository is in a state that cannot be put into a guest; the message says which."""

    code = "repository-refused"


class GuestPathTaken(Conflict):
    """The guest directory for a workspace holds something that is not a workspace of ours."""

    code = "guest-path-taken"


class WorkspaceNotFound(NotFound):
    """The VM holds no prepared workspace, or its directory is gone from the guest."""

    code = "workspace-not-found"


class GuestToolMissing(OperationFailed):
    """The guest's image lacks a program that the request needs there."""

    code = "guest-tool-missing"


class BranchConflict(Conflict):
    """A branch exists, is checked out, or has moved so that it cannot be set."""

    code = "branch-conflict"
