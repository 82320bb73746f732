"""The egress proxy of a VM whose policy is by name: a process of its own (`__main__.py`)."""
