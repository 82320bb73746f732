"""Artefacts kept by digest: the store that images and kernels share."""
