"""A driver that starts and ends VMs, and nothing else."""
