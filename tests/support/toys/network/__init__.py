"""A network with nobody in it."""
