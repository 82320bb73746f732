"""HTTP for registries and downloads: urllib3's connections under banger's rules (ADR 0040)."""
