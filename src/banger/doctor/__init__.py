"""Whether this host is ready: every fact that decides it, reported together."""
