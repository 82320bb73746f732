"""Drivers: how VMs become host processes. One protocol, one folder for each VMM."""
