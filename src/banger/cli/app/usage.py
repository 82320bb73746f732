"""What is wrong with a command line."""

from banger.errors import InvalidRequest


class UsageError(InvalidRequest):
    """The command line itself is not valid; nothing was done."""
