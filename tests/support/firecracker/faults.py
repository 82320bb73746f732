"""How Firecracker 1.12.1 words its refusals."""

from __future__ import annotations


class Refused(Exception):
    """A request that is answered with a fault."""


class Fatal(Refused):
    """A refusal after which the program ends."""


NOT_UNDERSTOOD = "An error occurred when deserializing the json body of a request: "
BEFORE = "The requested operation is not supported before starting the microVM."
AFTER = "The requested operation is not supported after starting the microVM."
BODY_OF_GET = "GET request cannot have a body."
EMPTY = "Empty {method} request."
UNKNOWN_PATH = "Invalid request method and/or path: {method} {first}."
WRONG_ID = "API Resource IDs can only contain alphanumeric characters and underscores."
OTHER_ID = "The id from the path does not match the id from the body!"

NO_KERNEL = "Start microvm error: Cannot start microvm without kernel configuration."
KERNEL_IMAGE = (
    "Start microvm error: System configuration error: Cannot load kernel due to invalid memory"
    " configuration or invalid kernel image: Kernel Loader: failed to load ELF kernel image: Kernel"
    " Loader: Invalid Elf magic number"
)
MEMORY_SIZE = (
    "Machine config error: The memory size (MiB) is either 0, or not a multiple of the configured"
    " page size."
)
VCPU_COUNT = (
    "Machine config error: The number of vCPUs must be greater than 0, less than 32 and must be 1"
    " or an even number if SMT is enabled."
)
KERNEL = "Boot source error: The kernel file cannot be opened: {why}"
INITRD = (
    "Boot source error: The initrd file cannot be opened due to invalid path or invalid"
    " permissions. {why}"
)
BACKING_FILE = "Virtio backend error: Error manipulating the backing file: {why} {path}"
NEW_DRIVE = "Drive config error: Unable to create the virtio block device: "
DRIVE = NEW_DRIVE + BACKING_FILE
DRIVE_CONFIG = NEW_DRIVE + "Invalid block config."
NO_DEVICE = "Failed to find the device on the bus."
UPDATE = (
    "Drive config error: Unable to patch the block device: Device manager error: {} Please verify"
    " the request arguments."
)
PATCHED_DRIVE = UPDATE.replace("{}", BACKING_FILE)
UNKNOWN_DRIVE = UPDATE.replace("{}", NO_DEVICE)
UNKNOWN_INTERFACE = (
    f"Network config error: Unable to update the net device: Device manager error: {NO_DEVICE}"
)
LOG = "Logger error: Failed to open target file: {why}"
METRICS = "Metrics error: Cannot initialize the metrics system due to bad user input: "
METRICS_FILE = METRICS + "{why}"
METRICS_TWICE = METRICS + "Reinitialization of metrics not allowed."
VSOCK = (
    "Vsock config error: Cannot create backend for vsock device: Error binding to the host-side"
    " Unix socket: {why}"
)
BALLOON_SIZE = "Balloon config error: Amount of pages requested is too large."
NO_BALLOON = {
    False: "Balloon config error: No balloon device found.",
    True: "Balloon config error: No balloon device found.",
}
"""Before and after the start."""
PATCHED_BALLOON = "Balloon config error: No balloon device found."
NO_STATISTICS = "Balloon config error: Statistics for the balloon device are not enabled"
STATISTICS_SWITCH = "Balloon config error: Cannot enable/disable the statistics after boot."

RUNNING_SNAPSHOT = (
    "Create snapshot error: Cannot save the microVM state: Operation not allowed:"
    " save/restore unavailable while running"
)
SNAPSHOT = "Create snapshot error: Cannot perform open on the snapshot backing file: {why}"
LOAD_TOO_LATE = (
    "Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific"
    " resources."
)
LOAD = "Load snapshot error: Failed to restore from snapshot: "
STATE = f"{LOAD}Failed to get snapshot state from file: Failed to open snapshot file: {{why}}"
MEMORY = (
    f"{LOAD}Failed to load guest memory: Error creating guest memory from file: Failed to load"
    " guest memory: {why}"
)
DEVICES = (
    f"{LOAD}Failed to build microVM from snapshot: Failed to restore MMIO device: Cannot restore"
    " devices: "
)
RESTORED_DRIVE = f"{DEVICES}Block: {BACKING_FILE}"
RESTORED_VSOCK = f"{DEVICES}VsockUnixBackend: Error binding to the host-side Unix socket: {{why}}"
NO_BACKEND = f"{NOT_UNDERSTOOD}missing field: either `mem_backend` or `mem_file_path` is required."
