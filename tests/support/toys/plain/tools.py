"""Nothing has to be installed."""

TOOLS = ()
