"""Changes of a VM, run under its lifecycle lock (L2), which the caller holds."""
