"""The files in the working directory of a VM's Firecracker.

The directory is the VM's runtime directory. A saved state names the guest's disks and its vsock
socket as Firecracker was told of them: by these names, so it is loaded as it is by the Firecracker
of another VM, in whose directory they lead to that VM's files.
"""

from __future__ import annotations

ROOT, DATA, MODULES, MEMORY = "root", "data", "modules", "memory"
"""Links to the files of the machine."""
CONFIGURATION = "machine.json"
STATE = "state"
"""The devices' state, on its way in or out."""
SAVED = "saved"
"""There once the VM was saved: the pages that Firecracker has noted since are not all."""
