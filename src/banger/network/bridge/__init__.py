"""The bridge network: a bridge that VMs share, made by a helper that has the privilege."""
