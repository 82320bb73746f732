"""The `user` network: outgoing traffic for one VM, without privilege, and no way in."""
