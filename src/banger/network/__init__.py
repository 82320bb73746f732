"""How VMs reach the world: one protocol, one folder for each kind of network."""
