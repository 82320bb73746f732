"""The error for an invalid command line."""

from banger.errors import InvalidRequest


class UsageError(InvalidRequest):
    """The command line is not valid; nothing was done."""
