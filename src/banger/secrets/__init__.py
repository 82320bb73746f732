"""The user's secrets, and the certificate authorities of the VMs that have placeholders.

Owns `secrets/` in the state directory (0700): a file for each secret, `NAME.json`, and `seed`, from
which the keys of all authorities are made; mode 0600. Files are written by rename or unlinked, so
a process that dies leaves the old or the new. Called by the engine; takes no locks. Values go to
egress proxies by their control sockets, and nowhere else.
"""

from banger.secrets.certificates import render_authority, render_chain
from banger.secrets.files import (
    find_bound,
    get_secret,
    list_secrets,
    load_seed,
    remove_secret,
    save_secret,
)

__all__ = [
    "find_bound",
    "get_secret",
    "list_secrets",
    "load_seed",
    "remove_secret",
    "render_authority",
    "render_chain",
    "save_secret",
]
