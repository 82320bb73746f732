"""The host tool that makes the `user` network. Standard library only: see `host.packages`."""

from banger.host.tools import Tool

TOOLS = (Tool("passt", "gives VMs a network without privilege", ("passt",) * 5),)
