"""The only room that starts processes or probes the machine."""
