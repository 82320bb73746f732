"""QEMU: software emulation anywhere, hardware virtualisation where KVM was proven."""
