"""What is there, and what it takes of the host, for those who ask. Changes nothing (B8)."""
