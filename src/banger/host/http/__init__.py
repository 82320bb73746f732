"""HTTP for registries and downloads: urllib3's connections under our own rules (ADR 0040)."""
