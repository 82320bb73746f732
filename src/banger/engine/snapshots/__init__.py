"""Machines saved: snapshots, what they are removed by, and the forks made of them."""
