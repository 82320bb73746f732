"""The host tools that make the `user` network. Standard library only: see `host.packages`."""

from banger.host.tools import Tool

SLIRP, PASST = "slirp4netns", "passt"

TOOLS = (
    Tool(
        SLIRP,
        "gives VMs a network without privilege, in 20 MiB less for each than passt",
        (SLIRP,) * 5,
        oldest=(1, 2),  # --target-type=bess
        instead=PASST,
    ),
    Tool(
        PASST,
        "gives VMs a network where slirp4netns is not installed",
        (PASST,) * 5,
        required=False,
        instead=SLIRP,
    ),
)
