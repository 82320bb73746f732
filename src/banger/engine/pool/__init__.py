"""Clones of templates, prepared before anybody asked for them. `clones` has the protocol."""
