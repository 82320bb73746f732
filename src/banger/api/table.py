"""Every method of the API by its name; each is declared once, in its group's module (`methods`).

Only the daemon and the documentation import this module, `requests` and `results`.
"""

from __future__ import annotations

from banger.api.methods.artifacts import ARTIFACTS
from banger.api.methods.daemon import DAEMON
from banger.api.methods.guests import GUESTS
from banger.api.methods.secrets import SECRETS
from banger.api.methods.sessions import SESSIONS
from banger.api.methods.tokens import TOKENS
from banger.api.methods.vms import VMS

METHODS = {
    method.name: method
    for method in (*DAEMON, *VMS, *GUESTS, *SESSIONS, *ARTIFACTS, *TOKENS, *SECRETS)
}
