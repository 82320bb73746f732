"""VMs run by Firecracker."""
