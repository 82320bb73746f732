"""What VMs are made of: images, kernels and templates, made once for all askers (lock L4)."""
