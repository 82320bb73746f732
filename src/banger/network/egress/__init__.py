"""The egress filter in front of a VM's network, whatever its kind: its start and its policy."""
