"""Every error that a user or a client can see.

One tree in one module, although that makes it long: whether a code or a class is there already is
seen at a glance. Each class has a stable kebab-case `code` (codes are never reused with another
meaning) and an `exit_code` for the command line. An instance's message is one sentence of fact that
names the object; it may have a hint: a command that the user can run. Packages raise these errors
and translate foreign errors (`OSError`, `CalledProcessError`, ...) at their own boundary, with
`from`.

The docstring of each class says when it is raised; `docs/errors.md` is generated
from the docstrings. Imports nothing, since every command loads this module.
"""

from __future__ import annotations


class BangerError(Exception):
    """The root of the tree; only its subclasses are raised."""

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
        """Return the error as a document for programs."""
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
    """A request, or a value in it, is not valid; nothing was changed."""

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
    """An action did not finish within its deadline; the message names both."""

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
    """The configuration file, a BANGER_* variable or a repository's banger.toml is not valid."""

    code = "config-invalid"


class DaemonSilent(DaemonUnreachable):
    """A daemon runs, but does not answer or listen; the message names its pid."""

    code = "daemon-silent"
    pid = 0


class OutcomeUnknown(DaemonUnreachable):
    """The connection broke after the request was sent, which may have been carried out or not."""

    code = "outcome-unknown"


class VersionMismatch(DaemonUnreachable):
    """The daemon and the client have different versions; the client restarts the daemon."""

    code = "version-mismatch"


# --- VMs --------------------------------------------------------------------


class VmNotFound(NotFound):
    """No VM has this name, id or prefix."""

    code = "vm-not-found"


class VmAmbiguous(InvalidRequest):
    """A prefix matches more than one VM; the message lists them."""

    code = "vm-ambiguous"


class NameTaken(Conflict):
    """Another VM already has this name."""

    code = "name-taken"


class VmBusy(Conflict):
    """Another operation holds the VM; the message names it."""

    code = "vm-busy"


class ConsoleTaken(Conflict):
    """Another client is attached to the VM's serial console."""

    code = "console-taken"


class WrongState(Conflict):
    """The VM's state does not allow the request."""

    code = "wrong-state"


class SetupFailed(OperationFailed):
    """A setup command of a repository failed in the VM; the details are what it printed last."""

    code = "setup-failed"


class NotSupported(Conflict):
    """The VM's driver does not support the request; another driver may."""

    code = "not-supported"


class OperationNotFound(NotFound):
    """No operation in progress has this id."""

    code = "operation-not-found"


class NotCancellable(Conflict):
    """The operation cannot be cancelled, or has already completed."""

    code = "not-cancellable"


class BootFailed(OperationFailed):
    """The VM was started but did not become ready; the message says why."""

    code = "boot-failed"


class VmmFailed(OperationFailed):
    """The VMM process could not be started or ended unexpectedly."""

    code = "vmm-failed"


class GuestGone(OperationFailed):
    """The connection to the guest's agent ended, usually with the VM."""

    code = "guest-gone"


class GuestProtocolError(OperationFailed):
    """The guest violated the protocol."""

    code = "guest-protocol"


class GuestRefused(OperationFailed):
    """The guest's agent could not carry out the request; the message has its reason."""

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
    """The guest cannot enter the program's working directory."""

    code = "exec-bad-directory"


class ExecNoSuchUser(GuestRefused):
    """The guest has no such user to run the program as."""

    code = "exec-no-such-user"


class SessionNotFound(GuestRefused):
    """The VM has no such session."""

    code = "session-not-found"
    exit_code = 4


class SessionExists(GuestRefused):
    """The VM already has a session of this name."""

    code = "session-exists"
    exit_code = 5


class SessionRunning(GuestRefused):
    """The session is still running."""

    code = "session-running"
    exit_code = 5


class SessionEnded(GuestRefused):
    """The session has ended, so it takes neither input nor signals."""

    code = "session-ended"
    exit_code = 5


class SessionTakesNoInput(GuestRefused):
    """The session was started without input, or has closed it."""

    code = "session-takes-no-input"
    exit_code = 5


class SessionBusy(GuestRefused):
    """Another client writes to the session; only one client can at a time."""

    code = "session-busy"
    exit_code = 5


class GuestPathNotFound(GuestRefused):
    """The guest has no such file."""

    code = "guest-path-not-found"
    exit_code = 4


class CopyRefused(OperationFailed):
    """A file cannot be copied to the target, or an existing file is in its way."""

    code = "copy-refused"


class GuestOutputTooBig(OperationFailed):
    """A command in the guest exceeded the limit of its output and was killed."""

    code = "guest-output-too-big"


class CommandFailed(OperationFailed):
    """A command in the guest failed that had to succeed; only raised by the Python package."""

    code = "command-failed"
    returncode = 0
    stdout: str | bytes = b""
    stderr: str | bytes = b""


# --- host -------------------------------------------------------------------


class ToolMissing(HostNotReady):
    """A host tool is not installed; the hint is the command that installs it."""

    code = "tool-missing"


class ToolFailed(OperationFailed):
    """A host tool failed; the details hold the end of its output."""

    code = "tool-failed"


class RuntimeDirectoryTaken(HostNotReady):
    """The runtime directory is used by an installation with another state directory."""

    code = "runtime-directory-taken"


class NoSpace(HostNotReady):
    """A file system of the host is full."""

    code = "no-space"


class AddressesExhausted(HostNotReady):
    """All loopback addresses for VMs belong to VMs."""

    code = "addresses-exhausted"


class PortTaken(Conflict):
    """A port of the host is in use, or belongs to another VM; the message names the user."""

    code = "port-taken"


class PortNotPermitted(Denied):
    """The host does not let an ordinary user listen on the port."""

    code = "port-not-permitted"


class PortNotFound(NotFound):
    """The VM has not published the port."""

    code = "port-not-found"


class NotEnoughMemory(HostNotReady):
    """The host has too little memory for another VM; the message has the numbers."""

    code = "not-enough-memory"


class NotEnoughProcessors(HostNotReady):
    """The host has far fewer CPUs than the requested VM."""

    code = "not-enough-processors"


class HostFailed(OperationFailed):
    """The host refused a file, a process or memory: a limit, a permission, a failing device."""

    code = "host-failed"


class DatabaseFailed(OperationFailed):
    """The database of records could not be read or written."""

    code = "database-failed"


# --- images and kernels -----------------------------------------------------


class ImageNotFound(NotFound):
    """No image has this name or digest, and none of this name can be built or pulled."""

    code = "image-not-found"


class ImageInUse(Conflict):
    """A VM or an operation uses the image; the message names them."""

    code = "image-in-use"


class ImageChanged(OperationFailed):
    """The file of a registered image is gone, or has changed since it was registered."""

    code = "image-changed"


class ImageInvalid(OperationFailed):
    """A part of an image violates its format or exceeds a limit."""

    code = "image-invalid"


class ImageUnsupported(OperationFailed):
    """An image has a type or platform that cannot be used here."""

    code = "image-unsupported"


class ReferenceInvalid(InvalidRequest):
    """A text is not the name of an image in a registry; the message says why."""

    code = "reference-invalid"


class RegistryUnreachable(OperationFailed):
    """A registry cannot be reached, is busy, or closed the connection; retry later."""

    code = "registry-unreachable"
    retry_after_s: float | None = None
    """Seconds to wait, as requested by the registry."""


class RegistryMisbehaved(OperationFailed):
    """A registry's answer violates the protocol, or is not acceptable to banger."""

    code = "registry-misbehaved"


class DownloadFailed(OperationFailed):
    """A file cannot be downloaded from its URL, or its sha256 does not match."""

    code = "download-failed"


class RegistryDenied(Denied):
    """A registry needs credentials, or refuses the ones given."""

    code = "registry-denied"


class TokenInvalid(Denied):
    """A token of the HTTP front is not known or has expired."""

    code = "token-invalid"


class TokenTooNarrow(Denied):
    """A token of the HTTP front does not allow the method."""

    code = "token-too-narrow"


class ImageUntrusted(Denied):
    """An image lacks the signature that the configuration requires for its repository."""

    code = "image-untrusted"


class KernelNotFound(NotFound):
    """No kernel has this name."""

    code = "kernel-not-found"


class KernelInUse(Conflict):
    """A VM, a template or an operation uses the kernel; the message names them."""

    code = "kernel-in-use"


class TemplateNotFound(NotFound):
    """No template has this key, and it is not the prefix of exactly one key."""

    code = "template-not-found"


class TemplateInUse(Conflict):
    """A VM runs from the template, or is being started from it; the message names the VMs."""

    code = "template-in-use"


class TemplateUnusable(OperationFailed):
    """A template is damaged, or does not match its manifest; it is removed."""

    code = "template-unusable"


class SnapshotNotFound(NotFound):
    """The VM has no snapshot of this name or id."""

    code = "snapshot-not-found"


class SnapshotExists(Conflict):
    """The VM already has a snapshot of this name."""

    code = "snapshot-exists"


class SnapshotUnusable(OperationFailed):
    """A snapshot is damaged, or another version of banger or the VMM, or another CPU made it."""

    code = "snapshot-unusable"


class KernelUnfit(OperationFailed):
    """A kernel lacks a feature that guests need, or its package is not as expected."""

    code = "kernel-unfit"


class RecipeInvalid(InvalidRequest):
    """An image recipe is not valid; the message names the file, the line and the key."""

    code = "recipe-invalid"


class NotARepository(InvalidRequest):
    """The path is not the work tree of a git repository."""

    code = "not-a-repository"


class ExportTooLarge(OperationFailed):
    """The guest's work tree exceeds the limits of an export; the message names a file."""

    code = "export-too-large"


class UnsafeBranch(Denied):
    """The commits that the guest sent are damaged, or have file names that are not allowed."""

    code = "unsafe-branch"


class ProjectUntrusted(Denied):
    """The content of a repository's banger.toml was not trusted by the user."""

    code = "project-untrusted"


class RepositoryRefused(InvalidRequest):
    """The repository's state, which the message describes, cannot be copied into a guest."""

    code = "repository-refused"


class GuestPathTaken(Conflict):
    """The guest directory for a workspace holds something other than a banger workspace."""

    code = "guest-path-taken"


class WorkspaceNotFound(NotFound):
    """The VM holds no prepared workspace, or its directory is gone from the guest."""

    code = "workspace-not-found"


class GuestToolMissing(OperationFailed):
    """The guest's image lacks a program that the request needs there."""

    code = "guest-tool-missing"


class ChangesConflict(Conflict):
    """Changes of the guest conflict with those of the host; conflicting files were not written."""

    code = "changes-conflict"


class BranchConflict(Conflict):
    """A branch exists, is checked out, or has moved so that it cannot be set."""

    code = "branch-conflict"
