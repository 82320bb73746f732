"""Whether this host is ready: every fact that decides it, told at once."""
