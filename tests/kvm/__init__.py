"""The KVM paths, proven on an emulated host that has hardware virtualisation."""
