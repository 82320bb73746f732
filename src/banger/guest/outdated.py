"""The refusal of a request by an agent that an older banger started."""

from __future__ import annotations

from banger.errors import GuestRefused


def explain_outdated(refusal: GuestRefused, cannot: str) -> GuestRefused:
    """Return the refusal that says what an older agent cannot do, or the one given.

    An agent answers a kind that it does not know with `bad-request`, as it does a malformed one,
    which this host does not send.
    """
    if refusal.guest_code != "bad-request":
        return refusal
    outdated = GuestRefused(
        f"Until it is restarted, the VM runs the agent of an older banger, which cannot {cannot}.",
        hint="banger vm restart NAME",
    )
    outdated.guest_code = refusal.guest_code
    return outdated
