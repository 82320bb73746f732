"""What the engine has in memory: runtimes of VMs, operations, locks, pins. Starts nothing."""
