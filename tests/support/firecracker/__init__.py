"""Firecracker without Firecracker: its API description, and a stand-in that speaks it."""
