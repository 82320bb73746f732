"""There is nothing to tell."""

GROUPS = ()
