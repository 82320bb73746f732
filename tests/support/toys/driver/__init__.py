"""A driver of another name."""
