"""Views of records and of their use of the host. Change nothing (B8)."""
