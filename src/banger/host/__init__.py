"""Processes and probes of the host: the only package that starts or uses them."""
