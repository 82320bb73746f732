"""The host tools that make the `bridge` network. Standard library only: see `host.packages`."""

from banger.host.tools import Tool

TOOLS = (
    Tool("nft", "is the firewall of VMs that share a network", ("nftables",) * 5, required=False),
    Tool(
        "ip",
        "makes the devices of VMs that share a network",
        ("iproute2", "iproute", "iproute2", "iproute2", "iproute2"),
        required=False,
    ),
)
