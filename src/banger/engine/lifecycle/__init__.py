"""A VM's life, from its making to its end: one module for each verb, and what they share.

Nothing here is called but under the VM's lifecycle lock (L2, see `live`), or takes it.
"""
