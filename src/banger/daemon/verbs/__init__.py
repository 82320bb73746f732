"""Verbs that need the daemon itself or the client's connection: streams, ephemeral VMs, status."""
